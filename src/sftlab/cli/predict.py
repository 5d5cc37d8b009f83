"""`sftlab predict`: what data not tried yet would bring."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from sftlab.cli.options import AsJson, StoreFolder, StudyFile

if TYPE_CHECKING:
    import polars as pl

MOST_ROWS = 200
"""A terminal shows so many predictions; more are not read there."""

Names = list[str] | None


def predict(  # noqa: PLR0913, PLR0917 - the options of the verb
    study: StudyFile,
    base: Annotated[
        Names, typer.Option("--base", help="a base of the study; all with untried data if not given")
    ] = None,
    dataset: Annotated[Names, typer.Option("--dataset", help="a dataset of the study; all if not given")] = None,
    benchmark: Annotated[Names, typer.Option("--benchmark", help="a benchmark; all if not given")] = None,
    method: Annotated[str | None, typer.Option("--method", help="gains of one method alone, such as lora")] = None,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Say what data not tried yet would bring, how sure that is, and how well such predictions have done."""
    from rich.console import Console

    from sftlab.cli.printing import print_json, print_line
    from sftlab.cli.texts import SECONDS, audited_results
    from sftlab.predict.asking import Asked
    from sftlab.predict.predicting import predict_study

    results, unread = audited_results(study, store, seconds=SECONDS)
    asked = Asked(bases=tuple(base or ()), datasets=tuple(dataset or ()), benchmarks=tuple(benchmark or ()))
    with Console(file=sys.stderr).status("leaving out families, gaps and datasets in turn to judge predictors"):
        found = predict_study(results, asked, method=method)
    if as_json:
        print_json({**found.to_json(), "texts_not_checked": unread})
        return
    for sentence in found.sentences:
        print_line(sentence)
    print_line()
    print_predictions(found.predictions if base else with_something_expected(found.predictions))


def with_something_expected(predictions: "pl.DataFrame") -> "pl.DataFrame":
    """The rows of bases and benchmarks of which something untried could be told."""
    expected = predictions.filter(~predictions["tried"] & predictions["gain"].is_not_null())
    return predictions.join(expected, on=["base", "benchmark"], how="semi", maintain_order="left")


def print_predictions(predictions: "pl.DataFrame") -> None:
    """Datasets of each base and benchmark, the best first; those that were tried with what was seen."""
    from sftlab.analyse.wording import amount, interval
    from sftlab.cli.printing import print_columns, print_line

    rows = []
    told = predictions.filter(predictions["gain"].is_not_null())
    for row in told.head(MOST_ROWS).iter_rows(named=True):
        what, unit = "seen" if row["tried"] else "expected", row["unit"]
        ends = "" if row["ci_low"] is None else interval(row, unit)
        improvement = "" if row["expected_improvement"] is None else amount(row["expected_improvement"], unit)
        mark = "  <- try next" if row["try_next"] else ""
        names = row["base"], row["benchmark"], row["dataset"]
        rows.append((*names, what, amount(row["gain"], unit), ends, f"{improvement}{mark}"))
    if rows:
        print_columns(("base", "benchmark", "dataset", "", "gain", "95 % interval", "expected improvement"), rows)
    if len(told) > len(rows):
        print_line(f"... and {len(told) - len(rows):,} more: --base and --benchmark narrow them, --json has all")

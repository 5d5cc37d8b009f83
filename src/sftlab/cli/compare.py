"""`sftlab compare`: two models of a study beside each other, or all siblings against one another."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sftlab.cli.options import AsJson, StoreFolder, StudyFile

if TYPE_CHECKING:
    import polars as pl

    from sftlab.analyse.comparing.comparison import Comparison
    from sftlab.analyse.results import Results

ANSWER_WIDTH = 90
SIBLINGS_SHOWN = 8
"""Siblings of one base on one benchmark that are printed, the best first."""


def compare(  # noqa: PLR0913 - each is an option of the command line
    study: StudyFile,
    a: Annotated[str | None, typer.Argument(help="a run, checkpoint or base", show_default=False)] = None,
    b: Annotated[str | None, typer.Argument(help="another", show_default=False)] = None,
    *,
    benchmark: Annotated[str | None, typer.Option(help="this benchmark alone", show_default=False)] = None,
    answers: Annotated[int, typer.Option(min=0, help="answers to show where the two differ, of each benchmark")] = 2,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Compare two models: recipes, paired scores, answers where they differ; without A and B, all siblings."""
    from sftlab.analyse.comparing.comparison import compare as compare_models
    from sftlab.cli.printing import print_json
    from sftlab.errors import StudyError
    from sftlab.plan.opening import open_results

    results = open_results(study, store)
    if a is None:
        _compare_siblings(results, benchmark, as_json=as_json)
        return
    if b is None:
        raise StudyError(f"{a!r} is one model, and two are compared: name both, or none for all siblings")
    found = compare_models(results, a, b, benchmark=benchmark, answers=answers)
    if as_json:
        print_json({"study": results.study, **found.to_json()})
    else:
        _print(found)


def _print(found: "Comparison") -> None:
    from sftlab.cli.printing import print_columns, print_line

    print_line(f"A: {_titled(found.a.name, found.a.epoch, found.a.checkpoint)}")
    print_line(f"B: {_titled(found.b.name, found.b.epoch, found.b.checkpoint)}")
    print_line()
    if found.recipe:
        print_columns(("recipe", "A", "B"), [(name, _said(a), _said(b)) for name, (a, b) in found.recipe.items()])
    print_line(
        f"equal in both: {', '.join(f'{name} {_said(value)}' for name, value in found.same.items()) or 'nothing'}"
    )
    print_line()
    _print_scores(found.scores)
    for note in found.notes:
        print_line(note)
    if found.losses:
        print_line()
        print_columns(("training", "A", "B"), [(name, _said(a), _said(b)) for name, (a, b) in found.losses.items()])
    _print_answers(found.answers)


def _titled(name: str, epoch: int, checkpoint: str | None) -> str:
    after = f", after epoch {epoch}" if epoch else ", not tuned"
    return f"{name}{after}" + (f" (checkpoint {checkpoint})" if checkpoint not in {None, name} else "")


def _said(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _print_scores(scores: "pl.DataFrame") -> None:
    from sftlab.analyse.wording import cell, interval_cell, score_cell, unit_shown
    from sftlab.cli.printing import print_columns, print_line

    if scores.is_empty():
        print_line("no score of either is known yet")
        return
    rows = []
    for row in scores.sort("main", descending=True, maintain_order=True).iter_rows(named=True):
        known, unit = row["difference"] is not None, row["unit"]
        rows.append(
            (
                row["benchmark"],
                row["metric"],
                score_cell(row["value_a"], unit),
                score_cell(row["value_b"], unit),
                cell(row["difference"], unit) if known else row["status"],
                interval_cell(row, unit, "no interval") if known else row["reason"],
                unit_shown(unit) if known else "",
                row["n"] or "-",
                "-" if row["p_adjusted"] is None else f"{row['p_adjusted']:.2g}",
                {"higher": "A surely better", "lower": "B surely better"}.get(row["verdict"], "cannot tell"),
            )
        )
    head = ("benchmark", "metric", "A", "B", "A - B (+ is better)", "95 % interval", "in", "items", "p adjusted", "")
    print_columns(head, rows)


def _print_answers(answers: "pl.DataFrame") -> None:
    """Answers that were kept; of a benchmark that has none, the items whose scores differ most."""
    from sftlab.cli.printing import print_line

    with_answer = set(answers.drop_nulls("answer_a")["benchmark"])
    for (benchmark, scorer, metric), rows in answers.partition_by(
        "benchmark", "scorer", "metric", as_dict=True, maintain_order=True
    ).items():
        if benchmark in with_answer and rows["answer_a"].null_count() == rows.height:
            continue
        print_line()
        print_line(f"where they differ on {benchmark} ({scorer}, {metric}):")
        for row in rows.iter_rows(named=True):
            print_line(f"  item {row['item']}{_asked(row)}")
            for side in ("a", "b"):
                print_line(f"    {side.upper()} {_answered(row, side)}")


def _asked(row: dict[str, Any]) -> str:
    """The end of the prompt, where the question stands, and the right answer."""
    if row["prompt"] is None:
        return ""
    prompt = row["prompt"][-ANSWER_WIDTH:]
    cut = "..." if len(prompt) < len(row["prompt"]) else ""
    right = f", right is {_quoted(row['gold'])}" if row["gold"] else ""
    return f": {cut}{json.dumps(prompt, ensure_ascii=False)}{right}"


def _quoted(text: str) -> str:
    line = json.dumps(text, ensure_ascii=False)
    return line if len(line) <= ANSWER_WIDTH else f"{line[:ANSWER_WIDTH]}..."


def _answered(row: dict[str, Any], side: str) -> str:
    score, answer = row[f"score_{side}"], row[f"answer_{side}"]
    said = "without a score" if score is None else f"scores {score:.3g}"
    said += ", could not be read" if row[f"parsed_{side}"] is False else ""
    if answer is None:
        return said
    written = row[f"written_{side}"]
    if written is None or written.strip() == answer.strip():
        return f"{said}: {_quoted(answer)}"
    read = f", read as {_quoted(answer)}" if row[f"parsed_{side}"] is not False else ""
    return f"{said}: {_quoted(written)}{read}"


def _compare_siblings(results: "Results", benchmark: str | None, *, as_json: bool) -> None:
    from sftlab.analyse.comparing.comparison import of_benchmark
    from sftlab.analyse.comparing.grid import sibling_grid, sibling_standings
    from sftlab.analyse.wording import cell, interval_cell, unit_shown
    from sftlab.cli.printing import print_columns, print_json, print_line
    from sftlab.errors import StudyError

    of_benchmark(results.scores(), benchmark)
    sets = [one for one in results.gain_sets if benchmark in {None, one.key[0]}]
    grid = sibling_grid(sets)
    standings = sibling_standings(sets, grid)
    if as_json:
        print_json({"study": results.study, "pairs": grid.to_dicts(), "standings": standings.to_dicts()})
        return
    main = standings.filter("main")
    if main.is_empty():
        raise StudyError("no base has two scored siblings yet: name two models, or run more of the study")
    shown = main.group_by("base", "benchmark", maintain_order=True).head(SIBLINGS_SHOWN)
    rows = [
        (
            *(row[name] for name in ("benchmark", "base", "run")),
            cell(row["gain"], row["unit"]),
            interval_cell(row, row["unit"], "-"),
            unit_shown(row["unit"]),
            *(row[name] for name in ("beats", "loses_to", "unclear")),
        )
        for row in shown.iter_rows(named=True)
    ]
    head = ("benchmark", "base", "run", "gain", "95 % interval", "in", "surely beats", "loses to", "cannot tell")
    print_columns(head, rows)
    if shown.height < main.height:
        print_line(
            f"and {main.height - shown.height:,} behind the {SIBLINGS_SHOWN} best of each base (--json lists all)"
        )
    _print_sure_pairs(grid.filter("main"))


def _print_sure_pairs(grid: "pl.DataFrame") -> None:
    from sftlab.cli.printing import print_line

    untested = grid["p"].null_count()
    if untested < grid.height:
        sure = (grid["verdict"] == "higher").sum()
        print_line(
            f"{sure:,} of {grid.height - untested:,} pairs of siblings differ surely: at most one in twenty of these "
            "is expected to be chance (Benjamini-Hochberg over all pairs, bases and benchmarks; of these very models)."
        )
    apart = grid.filter(grid["paired_by"] == "scores").height
    if apart:
        print_line(f"{apart:,} pairs are of two scores whose items are not known, taken as independent.")
    if untested:
        print_line(f"{untested:,} pairs of siblings have no test: neither items nor their spread are known.")

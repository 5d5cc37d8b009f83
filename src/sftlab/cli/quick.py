"""`sftlab quick`: which data, in one table, without a study file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sftlab.cli.options import AsJson, StoreFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from sftlab.analyse.audit.finding import AuditFinding
    from sftlab.plan.opening import Opened


def quick(  # noqa: PLR0913 - each is an option of the command line
    *,
    base: Annotated[str, typer.Option("--base", help="a model folder or hub id")],
    data: Annotated[list[Path], typer.Option("--data", help="a dataset file; repeat for each")],
    benchmark: Annotated[
        list[str] | None,
        typer.Option(
            "--benchmark",
            help="a task file, a prompt/answer file, or a shipped name: gsm8k, mmlu or boolq, which are downloaded "
            "unless --benchmarks-dir has them",
        ),
    ] = None,
    benchmarks_dir: Annotated[
        Path | None,
        typer.Option(
            help="a folder with shipped benchmarks' data: gsm8k_test.jsonl and gsm8k_train.jsonl, boolq_val.jsonl and "
            "boolq_train.jsonl, mmlu/test/*_test.csv and mmlu/dev/*_dev.csv",
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="training examples of each dataset")] = 500,
    epochs: Annotated[int, typer.Option(min=1)] = 2,
    seeds: Annotated[int, typer.Option(min=1, help="replicates, for the interval")] = 2,
    items: Annotated[int, typer.Option(min=2, help="held-out examples of each dataset, and items a benchmark")] = 100,
    prompt: Annotated[str | None, typer.Option(help="the column that asks, in all files")] = None,
    response: Annotated[str | None, typer.Option(help="the column that answers, in all files")] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[FILE=]NAME,NAME,...",
            help="column names where there is no header line, of all csv and tsv files or of one FILE; may be repeated",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="what to call the study; made of the datasets' if not given")] = None,
    save: Annotated[Path | None, typer.Option("--save", help="keep the study it ran in this file")] = None,
    workers: Annotated[int | None, typer.Option(min=1)] = None,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Try each dataset on one base and answer "which data" in one table."""
    import shlex

    from sftlab.cli.printing import print_line
    from sftlab.cli.working import do_missing, print_outcome
    from sftlab.plan.opening import open_study
    from sftlab.plan.quick_study import Settings, base_reference, dataset_names, legal_name, write_quick_study
    from sftlab.store import Store
    from sftlab.study.declaration import DatasetRef

    base_reference(base)
    _check_folder(benchmarks_dir)
    folder = (store or (save.resolve().parent if save else Path.cwd()) / ".sftlab").resolve()
    names = dataset_names(tuple(data))
    headerless = _columns_by_file(columns or [], data)
    refs = {
        dataset: DatasetRef(path=str(file.resolve()), prompt=prompt, response=response, columns=headerless.get(file))
        for dataset, file in zip(names, data, strict=True)
    }
    settings = Settings(
        samples=samples,
        held_out=items,
        epochs=epochs,
        seeds=seeds,
        benchmarks=tuple(benchmark or ()),
        benchmarks_dir=benchmarks_dir,
    )
    study_name = legal_name(name or "-".join(["quick", *names]))
    study_file = save or folder / "quick" / f"{study_name}.yaml"
    write_quick_study(study_file, base, refs, store=Store(folder), settings=settings)
    opened = open_study(study_file, folder)
    outcome = do_missing(opened, on="local", workers=workers)
    if not as_json:
        print_outcome(opened, outcome, as_json=False)
    _print_answer(opened, as_json=as_json)
    if not as_json:
        kept = "the study it ran" if save else "the study it ran (keep it elsewhere with --save)"
        elsewhere = "" if store is None else f" --store {shlex.quote(str(store))}"
        print_line(f"{kept}: {study_file}; `sftlab report {shlex.quote(str(study_file))}{elsewhere}` writes a page")
    if outcome.interrupted:
        raise typer.Exit(130)
    if outcome.failed:
        raise typer.Exit(1)


def _check_folder(benchmarks_dir: Path | None) -> None:
    from sftlab.errors import BenchmarkError

    if benchmarks_dir is not None and not benchmarks_dir.is_dir():
        raise BenchmarkError(f"--benchmarks-dir: there is no folder {benchmarks_dir}")


def _columns_by_file(texts: list[str], files: list[Path]) -> dict[Path, tuple[str, ...]]:
    """The column names of each file that has some: `a,b` is for all csv and tsv files, `FILE=a,b` for one."""
    from sftlab.data.formats import DELIMITED
    from sftlab.data.formats.source import unpacked_suffix
    from sftlab.errors import StudyError

    found: dict[Path, tuple[str, ...]] = {}
    for text in sorted(texts, key=lambda text: "=" in text):
        of, separator, listed = text.rpartition("=")
        named = [file for file in files if of in {str(file), file.name}]
        if not separator:
            named = [file for file in files if unpacked_suffix(str(file)) in DELIMITED] or files
        if not named:
            raise StudyError(f"--columns: {of!r} is none of the --data files {', '.join(map(str, files))}")
        names = tuple(name.strip() for name in listed.split(","))
        if not all(names) or len(set(names)) < len(names):
            raise StudyError(f"--columns: names with commas between, each once, got {text!r}")
        found.update(dict.fromkeys(named, names))
    return found


def _print_answer(opened: "Opened", *, as_json: bool) -> None:
    import polars as pl

    from sftlab.analyse.wording import SHARES, cell, interval_cell, score_cell
    from sftlab.cli.analyse import left_out_lines
    from sftlab.cli.printing import print_columns, print_json, print_line
    from sftlab.cli.texts import SECONDS, with_texts

    results = opened.results
    analysis = results.analysis
    warning = contaminated_leads(analysis.ranking, with_texts(opened, seconds=SECONDS)[0].audit)
    if as_json:
        print_json({**analysis.to_json(), "contaminated_leads": warning})
        return
    scores = results.table("scores")
    before = {
        (row["benchmark"], row["scorer"], row["metric"]): row
        for row in scores.filter(pl.col("dataset") == "none").iter_rows(named=True)
    }
    rows = []
    for row in analysis.gains.filter(pl.col("main") & (pl.col("method") == "all")).iter_rows(named=True):
        base_row, unit = before[row["benchmark"], row["scorer"], row["metric"]], row["unit"]
        rows.append(
            (
                row["benchmark"],
                row["metric"],
                "unknown" if base_row["value"] is None else score_cell(base_row["value"], unit),
                row["dataset"],
                row["status"]
                if row["gain"] is None
                else cell(row["gain"], unit) + (" points" if unit in SHARES else ""),
                interval_cell(row, unit, ""),
                f"{row['items'] or 0} items, {row['seeds'] or 0} seeds" if row["reason"] is None else row["reason"],
            )
        )
    print_line()
    header = ("scored on", "metric", "before", "trained on", "gain (+ is better)", "95 % interval", "n")
    print_columns(header, sorted(rows))
    print_line()
    for line in left_out_lines(scores):
        print_line(line)
    for sentence in analysis.sentences("data"):
        print_line(sentence)
    if warning is not None:
        print_line(warning)


def contaminated_leads(ranking: "pl.DataFrame", findings: "Sequence[AuditFinding]") -> str | None:
    """A sentence on benchmarks whose leading dataset was found to hold their items; None where no lead is in doubt.

    `ranking` is the analysis' frame; shares below one in a hundred are not worth a sentence here.
    """
    import polars as pl

    from sftlab.analyse.audit.checks.data_texts import CONTAMINATION, DATA_CHECKS, MUCH
    from sftlab.analyse.wording import counted, listed

    found = [finding.rows for finding in findings if finding.check == CONTAMINATION]
    leads = ranking.filter(pl.col("main") & (pl.col("rank") == 1)).select("dataset", pl.col("benchmark").alias("other"))
    held = pl.concat([pl.DataFrame(schema=DATA_CHECKS), *found]).filter(pl.col("count") >= MUCH * pl.col("of"))
    rows = held.join(leads.unique(), on=["dataset", "other"], maintain_order="left").iter_rows(named=True)
    said = [
        f"{row['count']} of {counted(row['of'], 'item')} of {row['other']} stand in {row['dataset']}" for row in rows
    ]
    if not said:
        return None
    return f"A lead may be memory: {listed(said)}, the very dataset that leads there (`sftlab audit` says more)."

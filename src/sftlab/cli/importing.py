"""`sftlab import`: results made elsewhere as a study."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sftlab.cli.options import AsJson

if TYPE_CHECKING:
    from sftlab.store.imported import ImportedStudy

imports = typer.Typer(
    name="import", help="Turn results made elsewhere into a study that the other verbs read.", no_args_is_help=True
)
Target = Annotated[
    Path | None, typer.Option("--to", help="a folder for the study; named after the source if not given")
]


@imports.command("massive-sft")
def massive_sft(
    source: Annotated[str, typer.Argument(metavar="FILE", help="evaluation_result.csv, or its url")],
    to: Target = None,
    sha256: Annotated[str | None, typer.Option(help="the digest that the file must have")] = None,
    as_json: AsJson = False,
) -> None:
    """The released results of 'Massive Supervised Fine-tuning Experiments' (arXiv 2506.14681)."""
    from sftlab.release.imports.fetching import fetched
    from sftlab.release.imports.massive_sft import massive_sft as read

    with fetched(source, sha256) as file:
        _write(read(file.path, file.origin), to or Path("massive-sft"), as_json)


@imports.command("scores")
def scores(  # noqa: PLR0913, PLR0917 - each is an option of the command line
    source: Annotated[str, typer.Argument(metavar="FILE", help="csv, tsv or parquet, or its url")],
    to: Target = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="OURS=THEIRS, again for each column that the file calls otherwise, e.g. base=model_name"),
    ] = None,
    benchmarks: Annotated[
        str | None, typer.Option(help="columns that hold scores, with commas; else columns `benchmark` and `value`")
    ] = None,
    percent: Annotated[bool, typer.Option("--percent", help="values are percentages of right answers")] = False,
    base_row: Annotated[str | None, typer.Option(help="what the column of datasets says of a base itself")] = None,
    sha256: Annotated[str | None, typer.Option(help="the digest that the file must have")] = None,
    as_json: AsJson = False,
) -> None:
    """Any tidy table of scores: base, dataset, benchmark and value, and whatever it has of the recipe."""
    from sftlab.errors import DataError
    from sftlab.release.imports.fetching import fetched
    from sftlab.release.imports.scores import BASE_ROWS, ScoreColumns, read_frame, tidy_scores

    pairs = [text.partition("=") for text in column or ()]
    wrong = next((f"{ours}{sign}{theirs}" for ours, sign, theirs in pairs if not (ours and theirs)), None)
    if wrong is not None:
        raise DataError(f"--column: OURS=THEIRS is legal (base=model_name, say), got {wrong!r}")
    columns = ScoreColumns(
        {ours: theirs for ours, _, theirs in pairs},
        tuple(name.strip() for name in (benchmarks or "").split(",") if name.strip()),
        percent,
        BASE_ROWS if base_row is None else (base_row.lower(),),
    )
    with fetched(source, sha256) as file:
        stem = file.path.name.split(".")[0]
        study = tidy_scores(read_frame(file.path), columns, name=stem, origin={"kind": "scores", **file.origin})
        _write(study, to or Path(stem), as_json)


@imports.command("lm-eval")
def lm_eval(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="what `lm_eval --log_samples --output_path` wrote")],
    to: Target = None,
    base: Annotated[str | None, typer.Option(help="the logged model that all others were tuned from")] = None,
    models: Annotated[
        Path | None,
        typer.Option(help="csv that says of each model its base and dataset (none: a base), and its recipe"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Logs of lm-evaluation-harness: the scores and items of every model in them."""
    from sftlab.release.imports.lm_eval import lm_eval_study
    from sftlab.release.imports.scores import read_frame

    described = None if models is None else read_frame(models)
    _write(lm_eval_study(folder, base=base, models=described), to or Path("lm-eval"), as_json)


@imports.command("checkpoints")
def checkpoints(  # noqa: PLR0913, PLR0917 - each is an option of the command line
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a trainer's output folder, or a folder of such")],
    base: Annotated[str, typer.Option(help="the model they were tuned from: a folder or hub id", show_default=False)],
    to: Annotated[Path, typer.Option("--to", help="the study file to write")] = Path("checkpoints.yaml"),
    samples: Annotated[int | None, typer.Option(min=1, help="training examples of each run")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="what they were trained on; the folders' names if not given")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="peak rate, where the logs do not say")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="examples per optimizer step; from the logs")] = None,
    schedule: Annotated[str | None, typer.Option(help="constant, linear, cosine or wsd; from the logs")] = None,
    benchmark: Annotated[list[str] | None, typer.Option(help="a shipped benchmark, task file or data file")] = None,
    as_json: AsJson = False,
) -> None:
    """Models that transformers, TRL or axolotl trained, as runs of a study to be evaluated and measured."""
    from sftlab.analyse.wording import counted
    from sftlab.cli.printing import print_json, print_line
    from sftlab.plan.quick_study import benchmark_entries
    from sftlab.release.imports.checkpoints import Stated, study_of_checkpoints, trained_folders, write_study
    from sftlab.study.reading import load_study

    found = trained_folders(folder)
    stated = Stated(base, samples, dataset, learning_rate, batch_size, schedule)
    entries = benchmark_entries(benchmark or (), to.resolve().parent)
    write_study(study_of_checkpoints(found, stated, benchmarks=entries), to)
    try:
        load_study(to)
    except Exception:
        to.unlink()
        raise
    if as_json:
        print_json({"study": str(to), "runs": [one.name for one in found]})
        return
    trained = "it was" if len(found) == 1 else "they were"
    print_line(f"{to}: {counted(len(found), 'run')}; what {trained} trained with can be mended there")
    print_line(f"next: `sftlab plan {to}`, then `sftlab run {to}`")


def _write(study: "ImportedStudy", folder: Path, as_json: bool) -> None:
    from sftlab.analyse.wording import counted
    from sftlab.cli.printing import print_json, print_line
    from sftlab.store.imported import write_imported_study

    write_imported_study(study, folder)
    sizes = {name: table.height for name, table in study.tables.items() if table.height}
    if as_json:
        print_json({"study": str(folder), "rows": sizes, "notes": list(study.notes), "origin": dict(study.origin)})
        return
    print_line(f"{folder}: {', '.join(counted(count, name.removesuffix('s'), name) for name, count in sizes.items())}")
    for note in study.notes:
        print_line(f"note: {note}")
    print_line(f"now for example: sftlab audit {folder}, sftlab analyse {folder}, sftlab report {folder}")

"""`sftlab init`: a commented study file from a few flags."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from sftlab.cli.options import AsJson

DEFAULT_SAMPLES = 1000
VALIDATION, SEEDS = 0.05, (0, 1)


def init(
    out: Annotated[Path, typer.Argument(help="the study file to write")] = Path("study.yaml"),
    base: Annotated[list[str] | None, typer.Option("--base", help="a folder or hub id; may be repeated")] = None,
    data: Annotated[list[Path] | None, typer.Option("--data", help="a dataset file; may be repeated")] = None,
    benchmark: Annotated[list[str] | None, typer.Option("--benchmark", help="a benchmark; may be repeated")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a commented study file to start from; it never overwrites one."""
    import os

    from jinja2 import Environment

    from sftlab.cli.printing import print_json, print_line
    from sftlab.errors import StudyError
    from sftlab.plan.quick_study import benchmark_entry
    from sftlab.study.reading import load_study

    if out.exists():
        raise StudyError(f"{out} exists already: name another file")
    here = out.resolve().parent

    def relative(path: Path) -> str:
        return os.path.relpath(path.resolve(), here)

    bases = [relative(Path(name)) if Path(name).is_dir() else name for name in base or ["Qwen/Qwen2.5-0.5B"]]
    datasets = {path.name.split(".")[0]: relative(path) for path in data or [Path("data/my_data.jsonl")]}
    source = files("sftlab.cli").joinpath("study.yaml.j2").read_text(encoding="utf-8")
    text = Environment(trim_blocks=True, lstrip_blocks=True, autoescape=False).from_string(source)
    benchmarks = [benchmark_entry(text, here) for text in benchmark or ()]
    samples = min([DEFAULT_SAMPLES, *(_drawable(path) for path in data or ())])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(
        text.render(name=out.stem, bases=bases, datasets=datasets, benchmarks=benchmarks, samples=samples),
        encoding="utf-8",
    )
    if base and data:
        load_study(out)
    if as_json:
        print_json({"study": str(out)})
    else:
        print_line(f"wrote {out}; next: `sftlab plan {out}`, then `sftlab run {out}`")


def _drawable(path: Path) -> int:
    """Examples of a file that every seed of the written study can draw."""
    from sftlab.data.reading import read_dataset
    from sftlab.data.sampling import split_held_out
    from sftlab.study.declaration import DatasetRef

    dataset = read_dataset(DatasetRef(path=str(path.resolve())), name=path.name.split(".")[0])
    return min(len(split_held_out(dataset, share=VALIDATION, seed=seed).pool) for seed in SEEDS)

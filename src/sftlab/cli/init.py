"""`sftlab init`: a commented study file from a few flags."""

import os
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
    import json

    import yaml
    from jinja2 import Environment

    from sftlab.cli.printing import print_json, print_line
    from sftlab.errors import SftlabError, StudyError
    from sftlab.plan.quick_study import base_reference, benchmark_entries, dataset_names, legal_name, legal_names
    from sftlab.study.reading import load_study

    if out.exists():
        raise StudyError(f"{out} exists already: name another file")
    here = out.resolve().parent

    asked = list(base or ["Qwen/Qwen2.5-0.5B"])
    found = [base_reference(text) for text in asked]
    bases = [
        {"name": name, "model": _shown(Path(text).expanduser(), here) if Path(ref.model).is_dir() else ref.model}
        for name, ref, text in zip(legal_names([ref.name for ref in found]), found, asked, strict=True)
    ]
    names = dataset_names(tuple(data or ()))
    sizes = {name: _drawable(path, name) for name, path in zip(names, data or (), strict=True)}
    samples = min([DEFAULT_SAMPLES, *sizes.values()])
    source = files("sftlab.cli").joinpath("study.yaml.j2").read_text(encoding="utf-8")
    environment = Environment(trim_blocks=True, lstrip_blocks=True, autoescape=False)
    environment.filters["key"] = lambda name: name if yaml.safe_load(name) == name else f'"{name}"'
    environment.filters["quoted"] = lambda value: json.dumps(value, ensure_ascii=False)
    text = environment.from_string(source).render(
        name=legal_name(out.stem),
        bases=[one["model"] if Path(one["model"]).name == one["name"] else one for one in bases],
        datasets={name: _shown(path, here) for name, path in zip(names, data, strict=True)}
        if data
        else {"my_data": "data/my_data.jsonl"},
        benchmarks=benchmark_entries(benchmark or (), here),
        samples=samples,
        smallest=min(sizes, key=lambda name: sizes[name]) if samples < DEFAULT_SAMPLES else None,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    try:
        if data:
            load_study(out)
    except SftlabError:
        out.unlink()
        raise
    if as_json:
        print_json({"study": str(out)})
    else:
        if samples < DEFAULT_SAMPLES:
            print_line(f"`samples` is {samples}: all that the smallest dataset has beside its validation part")
        print_line(f"wrote {out}; next: `sftlab plan {out}`, then `sftlab run {out}`")


def _shown(path: Path, folder: Path) -> str:
    """A path from a study file's folder; one that was given absolute and lies far from it stays absolute."""
    near = os.path.relpath(path.resolve(), folder)
    is_far = Path(near).parts[:2] == ("..", "..")
    return str(path.resolve()) if path.is_absolute() and is_far else near


def _drawable(path: Path, name: str) -> int:
    """Examples of a file that every seed of the written study can draw."""
    from sftlab.data.reading import read_dataset
    from sftlab.data.sampling import split_held_out
    from sftlab.study.declaration import DatasetRef

    dataset = read_dataset(DatasetRef(path=str(path.resolve())), name=name, from_flags=True)
    return min(len(split_held_out(dataset, share=VALIDATION, seed=seed).pool) for seed in SEEDS)

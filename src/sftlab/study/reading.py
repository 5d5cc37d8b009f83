"""From a study file to a `Study`: places resolved, and one sentence for whatever is wrong."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from sftlab.errors import StudyError
from sftlab.study.complaint import complaint, dotted, where_in
from sftlab.study.declaration import Study
from sftlab.study.yaml_tree import Place, YamlTree, read_yaml

HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[\w.-]+)?$")


def load_study(path: Path) -> Study:
    """The study in a file, with paths made absolute (relative ones start at the file's folder).

    Raises StudyError in one sentence: the place in the file, what was got, what is legal.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise StudyError(f"there is no study file {path}; `sftlab init` writes one") from error
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"the study file {path} cannot be read: {error}") from error
    tree = read_yaml(text, name=path.name)
    if not isinstance(tree.value, Mapping):
        raise StudyError(f"{path.name} holds a {type(tree.value).__name__}, and a study is fields with values")
    try:
        study = Study.model_validate(tree.value)
    except ValidationError as error:
        raise StudyError(complaint(error, tree, path.name)) from None
    return _with_places(study, path.resolve().parent, tree, path.name)


def _with_places(study: Study, folder: Path, tree: YamlTree, name: str) -> Study:
    """The study with every path absolute and known to exist."""
    missing: list[str] = []

    def existing(text: str, place: Place, kind: str) -> str:
        path = _expanded(text, folder, f"{where_in(place, tree, name)}: {dotted(place)}")
        if not path.exists():
            missing.append(f"{where_in(place, tree, name)}: {dotted(place)}: there is no {kind} {path}")
        return str(path)

    bases = tuple(
        base.model_copy(update={"model": _base_model(base.model, folder, where_in(("bases", index), tree, name))})
        for index, base in enumerate(study.bases)
    )
    datasets = {
        key: ref
        if ref.path is None
        else ref.model_copy(update={"path": existing(ref.path, ("datasets", key, "path"), "file")})
        for key, ref in study.datasets.items()
    }
    trained = {
        key: run.model_copy(update={"folder": existing(run.folder, ("trained", key, "folder"), "folder")})
        for key, run in study.trained.items()
    }
    benchmarks = []
    for index, benchmark in enumerate(study.evaluation.benchmarks):
        place: Place = ("evaluation", "benchmarks", index)
        changes = {
            field: existing(text, (*place, field), "file")
            for field in ("file", "data", "reference")
            if (text := getattr(benchmark, field)) is not None
        }
        benchmarks.append(benchmark.model_copy(update=changes))
    evaluation = study.evaluation
    benchmarks_dir = evaluation.benchmarks_dir
    if benchmarks_dir is not None:
        benchmarks_dir = existing(benchmarks_dir, ("evaluation", "benchmarks_dir"), "folder")
    evaluation = evaluation.model_copy(update={"benchmarks": tuple(benchmarks), "benchmarks_dir": benchmarks_dir})
    probe_texts = study.probe_texts
    if probe_texts is not None:
        given = existing(probe_texts.data, ("probe_texts", "data"), "file")
        probe_texts = probe_texts.model_copy(update={"data": given})
    if missing:
        raise StudyError("; ".join([missing[0], *(said.removeprefix(f"{name}, ") for said in missing[1:])]))
    embedder = _expanded(study.embedder, folder, where_in(("embedder",), tree, name))
    absolute = {
        "bases": bases,
        "datasets": datasets,
        "trained": trained,
        "evaluation": evaluation,
        "probe_texts": probe_texts,
        "embedder": str(embedder) if embedder.is_dir() else study.embedder,
    }
    return study.model_copy(update=absolute)


def _expanded(text: str, folder: Path, where: str) -> Path:
    expanded = os.path.expandvars(text)
    unset = re.search(r"\$\{?(\w+)\}?", expanded)
    if unset:
        raise StudyError(f"{where}: the environment variable {unset[1]} is not set, in {text!r}")
    return (folder / Path(expanded).expanduser()).resolve()


def _base_model(text: str, folder: Path, where: str) -> str:
    """An absolute folder, or a hub id left as it is."""
    path = _expanded(text, folder, where)
    if path.is_dir():
        return str(path)
    if HUB_ID.match(text):
        return text
    raise StudyError(f"{where}: a base is a folder or a hub id like Qwen/Qwen2.5-0.5B, and there is no folder {path}")

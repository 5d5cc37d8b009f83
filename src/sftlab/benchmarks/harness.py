"""Tasks of an installed lm-evaluation-harness by their name: found by a scan of its task files, which is kept on disk.

The package itself is not imported; its task manager would parse all of its 14,000 files, for ten seconds and more.
"""

import contextlib
import difflib
import functools
import hashlib
import importlib.util
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from sftlab.benchmarks.definition import TaskDefinition
from sftlab.benchmarks.rows import FORMATS, Layout, file_format
from sftlab.benchmarks.shipped import SHIPPED
from sftlab.benchmarks.sources import LocalSource, Source, task_source
from sftlab.benchmarks.task_yaml import TaskYaml, read_task_yaml
from sftlab.errors import BenchmarkError

INDEX_VERSION = 1
NAME = re.compile(
    r"""^["']?(?P<key>task|group)["']?[ ]*:[ ]*["']?(?P<name>[^\s"'\[{#][^"'#\n]*?)["']?[ ]*(?:\#.*)?$""", re.MULTILINE
)
INCLUDE = re.compile(r"""^["']?include["']?[ ]*:[ ]*["']?(?P<name>[^\s"'\[]+)""", re.MULTILINE)
TAGS = re.compile(
    r"""^["']?tag["']?[ ]*:(?P<one>[ ]*[^\s\[][^\n]*)?(?P<flow>[ ]*\[[^\]]*\])?(?P<many>(?:\n[ ]*-[ ]*[^\n]+)*)""",
    re.MULTILINE,
)


@dataclass(frozen=True)
class TaskIndex:
    """Where each task and group is written, below `folder`, and which tasks carry each tag."""

    folder: Path
    tasks: Mapping[str, str]
    groups: Mapping[str, str]
    tags: Mapping[str, tuple[str, ...]]

    def files_of(self, name: str) -> dict[str, Path]:
        """The task files that a name stands for: one task, or all of a group or tag, in its order.

        Raises BenchmarkError for a name that is unknown, and for groups that change their tasks' definitions.
        """
        if name in self.tasks:
            return {name: self.folder / self.tasks[name]}
        if name in self.groups:
            return {task: path for part in self._parts(name) for task, path in self.files_of(part).items()}
        if name in self.tags:
            return {task: self.folder / self.tasks[task] for task in self.tags[name]}
        near = difflib.get_close_matches(name, [*SHIPPED, *self.tasks, *self.groups, *self.tags], n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise BenchmarkError(
            f"neither sftlab nor lm-evaluation-harness has a task of this name{hint}; others are given by `file` or "
            "`data`"
        )

    def _parts(self, group: str) -> Iterator[str]:
        listed = read_task_yaml(self.folder / self.groups[group]).fields.get("task")
        for part in listed if isinstance(listed, list) else [listed]:
            if not isinstance(part, str) or part == group:
                raise BenchmarkError(
                    f"the group {group} of lm-evaluation-harness defines its tasks anew; name one of them by itself"
                )
            yield part


def harness_tasks(name: str) -> dict[str, TaskYaml]:
    """The task files that a name stands for in the installed lm-evaluation-harness.

    Raises BenchmarkError where it is not installed or has nothing of this name.
    """
    index = _index()
    if index is None:
        raise BenchmarkError(
            "no benchmark of this name comes with sftlab; tasks of lm-evaluation-harness can be named where the extra "
            "`harness` is installed (pip install 'sftlab[harness]'), others are given by `file` or `data`"
        )
    return {task: read_task_yaml(path) for task, path in index.files_of(name).items()}


def is_in_harness(name: str) -> bool:
    """Whether an installed lm-evaluation-harness has a task, group or tag of this name."""
    index = _index()
    return index is not None and any(name in names for names in (index.tasks, index.groups, index.tags))


def harness_source(name: str, definition: TaskDefinition, yaml: TaskYaml, benchmarks_dir: Path | None) -> Source:
    """The rows of a task: files called after its splits in `benchmarks_dir`/NAME where that is there, else as it says.

    Raises BenchmarkError where such files are of several kinds.
    """
    folder = None if benchmarks_dir is None else benchmarks_dir / name
    if folder is None or not folder.is_dir():
        return task_source(definition, yaml)
    files = {path.name.split(".")[0]: path for path in sorted(folder.iterdir()) if _is_data(path)}
    kinds = {file_format(path) for path in files.values()}
    if len(kinds) != 1:
        raise BenchmarkError(
            f"{folder} holds the splits {definition.eval_split}, ... as files of one kind ({', '.join(FORMATS)}); "
            f"got {len(kinds)} kinds"
        )
    return LocalSource({split: (path,) for split, path in files.items()}, Layout(kinds.pop(), typed=True))


def _is_data(path: Path) -> bool:
    return path.is_file() and any(suffix.lower() in FORMATS for suffix in path.suffixes)


@functools.cache
def _index() -> TaskIndex | None:
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "tasks"
    place = f"{INDEX_VERSION} {version('lm_eval')} {folder} {folder.stat().st_mtime_ns}"
    kept = _cache_folder() / f"harness-{hashlib.sha256(place.encode()).hexdigest()[:16]}.json"
    try:
        found = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = _scanned(folder)
        with contextlib.suppress(OSError):
            _write(kept, json.dumps(found))
    tags = {tag: tuple(tasks) for tag, tasks in found["tags"].items()}
    return TaskIndex(folder, found["tasks"], found["groups"], tags)


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sftlab"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        file.write(text)
    Path(file.name).replace(path)


def _scanned(folder: Path) -> dict[str, dict[str, object]]:
    """Names in the files' own text; the first of several files wins, in the order that lm-evaluation-harness reads."""
    tasks: dict[str, object] = {}
    groups: dict[str, object] = {}
    tags: dict[str, object] = {}
    texts: dict[Path, str] = {}
    for path in sorted(folder.glob("**/*.yaml"), key=Path.as_posix):
        text = texts[path] = path.read_text(encoding="utf-8", errors="replace")
        named = {match["key"]: match["name"].strip() for match in NAME.finditer(text)}
        place = path.relative_to(folder).as_posix()
        if "group" in named:
            groups.setdefault(named["group"], place)
        elif "task" in named and named["task"] not in tasks:
            tasks[named["task"]] = place
            for tag in _tags(path, texts):
                listed = tags.setdefault(tag, [])
                assert isinstance(listed, list)
                listed.append(named["task"])
    return {"tasks": tasks, "groups": groups, "tags": tags}


def _tags(path: Path, texts: dict[Path, str]) -> list[str]:
    """Tags of a task file, or else of what it includes."""
    if path not in texts:
        texts[path] = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    found = TAGS.search(texts[path])
    if found is not None:
        lines = [found["one"] or "", *(found["flow"] or "").strip(" []").split(","), *(found["many"] or "").split("\n")]
        return [bare for line in lines if (bare := line.strip().removeprefix("-").strip(" \"'"))]
    included = INCLUDE.search(texts[path])
    inner = path.parent / included["name"] if included else path
    return [] if inner == path else _tags(inner, texts)

"""Which local files a benchmark reads, and what each is for."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sftlab.benchmarks.gold import GoldAnswers
from sftlab.benchmarks.group import TaskGroup
from sftlab.benchmarks.judging.sources import ReferencedSource
from sftlab.benchmarks.sources import LocalSource
from sftlab.benchmarks.task import Task

Definition = Task | TaskGroup | GoldAnswers
"""Whatever can be identified without being read, and then be read."""

Purpose = Literal["items", "shots", "references", "task file"]


@dataclass(frozen=True)
class NeededFile:
    """A local file, and what a benchmark needs it for."""

    path: Path
    purpose: Purpose


def needed_files(definition: Definition) -> tuple[NeededFile, ...]:
    """The local files that are read for what is asked; what comes from the hub is not among them."""
    if isinstance(definition, GoldAnswers):
        return (NeededFile(definition.path, "items"),)
    tasks = definition.tasks.values() if isinstance(definition, TaskGroup) else (definition,)
    return tuple(file for task in tasks for file in _of_task(task))


def _of_task(task: Task) -> Iterator[NeededFile]:
    asked, items = task.definition, task.definition.eval_split
    draws = bool(task.asked.shots) and not task.asked.sets_apart and asked.shot_split not in {None, items}
    for source in task.sources.values():
        if not isinstance(source, LocalSource):
            continue
        yield from (NeededFile(path, "items") for path in source.files.get(items, ()))
        if isinstance(source, ReferencedSource):
            yield NeededFile(source.references, "references")
        if draws and asked.shot_split is not None:
            yield from (NeededFile(path, "shots") for path in source.files.get(asked.shot_split, ()))

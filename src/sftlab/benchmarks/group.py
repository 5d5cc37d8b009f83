"""Several tasks as one benchmark, each a stratum of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sftlab.benchmarks.item import Benchmark, ChoiceMetrics, Item, Reading, Scorer
from sftlab.benchmarks.task import Task, dealt
from sftlab.errors import BenchmarkError


@dataclass(frozen=True)
class TaskGroup:
    """Tasks by name that are asked and read alike; satisfies the same protocol as one task."""

    tasks: Mapping[str, Task]
    limit: int | None

    @property
    def scorers(self) -> tuple[Scorer, ...]:
        """How the items are scored."""
        return self._first.scorers

    @property
    def max_new_tokens(self) -> int:
        """The longest answer that may be generated."""
        return self._first.max_new_tokens

    def identity(self, file_digest: Callable[[Path], str]) -> object:
        """What decides the items of every task."""
        return [[name, task.identity(file_digest)] for name, task in self.tasks.items()]

    def benchmark(self, name: str, digest: str) -> Benchmark:
        """The items of all tasks in turn. Raises BenchmarkError for tasks that are not asked or read alike."""
        parts = {task: definition.benchmark(task, digest) for task, definition in self.tasks.items()}
        self._check(parts)
        first = next(iter(parts.values()))
        counts = dealt({task: len(part.items) for task, part in parts.items()}, self.limit)
        turns = max(counts.values(), default=0)
        items = [
            _of_task(part.items[turn], task)
            for turn in range(turns)
            for task, part in parts.items()
            if turn < counts[task]
        ]

        def read(item: Item, text: str) -> Reading:
            inner, own = _own(parts, item)
            assert inner.read is not None
            return inner.read(own, text)

        def weigh(item: Item, log_likelihoods: Sequence[float]) -> Mapping[str, float]:
            inner, own = _own(parts, item)
            assert inner.choice_metrics is not None
            return inner.choice_metrics.weigh(own, log_likelihoods)

        own = first.choice_metrics
        return replace(
            first,
            name=name,
            items=tuple(items),
            read=None if first.read is None else read,
            choice_metrics=None if own is None else ChoiceMetrics(own.names, weigh),
        )

    @property
    def _first(self) -> Task:
        return next(iter(self.tasks.values()))

    def _check(self, parts: Mapping[str, Benchmark]) -> None:
        manner = {task: _manner(part) for task, part in parts.items()}
        first = next(iter(manner))
        other = next((task for task in manner if manner[task] != manner[first]), None)
        if other is not None:
            raise BenchmarkError(
                f"the tasks {first} and {other} are not asked and read alike, so that they are no one benchmark; name "
                "each by itself"
            )


def _manner(part: Benchmark) -> tuple[object, ...]:
    names = part.choice_metrics.names if part.choice_metrics else None
    return part.scorers, part.stops, part.max_new_tokens, part.delimiter, part.metric, names, part.read is None


def _of_task(item: Item, task: str) -> Item:
    cluster = None if item.cluster is None else f"{task}/{item.cluster}"
    return replace(item, item=f"{task}/{item.item}", stratum=task, cluster=cluster)


def _own(parts: Mapping[str, Benchmark], item: Item) -> tuple[Benchmark, Item]:
    assert item.stratum is not None
    return parts[item.stratum], replace(item, item=item.item.removeprefix(f"{item.stratum}/"))

"""What is wrong with the texts of a study's datasets: the frame `data_checks`, found once and kept in the store."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import polars as pl

from sftlab.analyse.audit.checks.data_texts import CONTAMINATION, DATA_CHECKS, SHARED, TEMPLATE
from sftlab.analyse.wording import counted
from sftlab.data.example import Dataset
from sftlab.data.near_duplicates import near_duplicates
from sftlab.data.record import excerpt
from sftlab.data.summary import has_template, whole_text
from sftlab.errors import BenchmarkError, DataError
from sftlab.plan.contamination import ContaminationTables, contamination_tables
from sftlab.plan.opening import Opened
from sftlab.plan.selection import dataset_in_memory
from sftlab.study.identity import digest

VERSION = 1
NOTE = "data_checks"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class DataChecks:
    """What was found, one row for each thing, with the columns of `DATA_CHECKS`.

    `left` counts the checks that there was no time for, and `unread` says why any texts could not be read.
    """

    found: pl.DataFrame
    left: int
    unread: str | None

    @property
    def not_checked(self) -> str | None:
        """What was not looked at, in words; None where everything was."""
        if self.unread is not None:
            return self.unread
        return f"{counted(self.left, 'comparison')} of datasets were left out for want of time" if self.left else None


def data_checks(
    opened: Opened, *, seconds: float = math.inf, on_check: Progress = lambda _done, _all: None
) -> DataChecks:
    """Look through the texts of a study's data; what was found before is remembered in its store.

    Every dataset is looked through for templates, every pair of them for common examples (word for word or nearly, see
    `near_duplicates`), and every benchmark's questions for in every dataset. None is begun after so many `seconds`;
    `on_check` is told before each that was not made before how many are done, of how many. Texts that are not here are
    left out (`unread`).
    """
    return _Checking(opened, time.monotonic() + seconds, on_check).checks()


class _Checking:
    """One look through the texts, and how much time is left for it."""

    def __init__(self, opened: Opened, end: float, on_check: Progress) -> None:
        self._opened = opened
        self._end = end
        self._on_check = on_check
        self._known: dict[str, Any] = dict(opened.store.read_note(NOTE) or {})
        self._begun = 0
        names = len(opened.resolved.dataset_digests)
        self._all = names + names * (names - 1) // 2 + names * len(opened.resolved.benchmarks)

    def checks(self) -> DataChecks:
        """Everything that there is time for."""
        rows: list[dict[str, object]] = []
        left, unread = 0, None
        try:
            for names, key, check in self._of_datasets():
                if key not in self._known:
                    if not self._goes_on():
                        left += 1
                        continue
                    self._known[key] = check()
                rows.append({**names, **self._known[key]})
            found = contamination_tables(self._opened, goes_on=self._goes_on)
            rows += _contaminated(found)
            left += found.left
        except (BenchmarkError, DataError) as error:
            unread = str(error)
        finally:
            self._opened.store.write_note(NOTE, self._known)
        return DataChecks(pl.DataFrame(rows, schema=DATA_CHECKS).filter(pl.col("count") > 0), left, unread)

    def _goes_on(self) -> bool:
        self._on_check(self._begun, self._all)
        self._begun += 1
        return time.monotonic() < self._end

    def _of_datasets(self) -> Iterator[tuple[dict[str, object], str, Callable[[], dict[str, object]]]]:
        """Each check of a dataset or of two: its names, under what it is remembered, and how it is made."""
        digests = self._opened.resolved.dataset_digests
        for name, content in digests.items():
            names: dict[str, object] = {"check": TEMPLATE, "dataset": name, "other": None}
            yield names, digest([VERSION, TEMPLATE, content]), partial(self._templates, name)
        for name, other in combinations(digests, 2):
            key = digest([VERSION, SHARED, digests[name], digests[other]])
            yield {"check": SHARED, "dataset": name, "other": other}, key, partial(self._shared, name, other)

    def _templates(self, name: str) -> dict[str, object]:
        return _templates(self._dataset(name))

    def _shared(self, name: str, other: str) -> dict[str, object]:
        return _shared(self._dataset(name), self._dataset(other))

    def _dataset(self, name: str) -> Dataset:
        content = self._opened.resolved.dataset_digests[name]
        return dataset_in_memory(self._opened.study.datasets[name], name, content)


def _contaminated(found: ContaminationTables) -> list[dict[str, object]]:
    first = found.contaminated_items.group_by("dataset", "benchmark").agg(pl.col("text").first().alias("example"))
    counts = found.contamination.join(first, on=["dataset", "benchmark"], how="left", maintain_order="left")
    return counts.select(
        pl.lit(CONTAMINATION).alias("check"),
        "dataset",
        pl.col("benchmark").alias("other"),
        pl.col("contaminated").alias("count"),
        pl.col("tested").alias("of"),
        "example",
    ).to_dicts()


def _templates(dataset: Dataset) -> dict[str, object]:
    baked = [example for example in dataset.examples if has_template(example)]
    first = f"row {baked[0].index}: {excerpt(whole_text(baked[0]))}" if baked else None
    return {"count": len(baked), "of": len(dataset.examples), "example": first}


def _shared(dataset: Dataset, other: Dataset) -> dict[str, object]:
    theirs = {example.turns for example in other.examples}
    texts = [whole_text(example) for example in dataset.examples]
    near = {one.place for one in near_duplicates(texts, [whole_text(example) for example in other.examples])}
    both = [place for place, example in enumerate(dataset.examples) if example.turns in theirs or place in near]
    first = f"row {dataset.examples[both[0]].index}: {excerpt(texts[both[0]])}" if both else None
    return {"count": len(both), "of": len(texts), "example": first}

"""How many items a benchmark will ask, and what it is, before any of it is read."""

from pathlib import Path
from typing import cast

from sftlab.benchmarks.loading import Outline, benchmark_outline
from sftlab.plan.benchmark_checks import NOTE as BENCHMARKS_NOTE
from sftlab.store import Store
from sftlab.study.declaration import BenchmarkRef, Evaluation

ITEMS_UNREAD = 1000


class BenchmarkItems:
    """Outlines of a study's benchmarks and their numbers of items, as far as they are known without reading them."""

    def __init__(self, evaluation: Evaluation, store: Store) -> None:
        self._evaluation = evaluation
        self._read = store.read_note(BENCHMARKS_NOTE) or {}

    def outline(self, ref: BenchmarkRef) -> Outline:
        """What is known of it by its definition."""
        folder = self._evaluation.benchmarks_dir
        return benchmark_outline(ref, folder=Path.cwd(), benchmarks_dir=None if folder is None else Path(folder))

    def number(self, ref: BenchmarkRef, benchmark_digest: str) -> int:
        """Items that are asked: as many as there are, or as the study says; `ITEMS_UNREAD` where nothing tells."""
        limit = ref.items or self._evaluation.items
        there = cast("int", self._read.get(benchmark_digest, self.outline(ref).num_items or ITEMS_UNREAD))
        return there if limit == "all" else min(there, limit)

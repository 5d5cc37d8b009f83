"""Benchmarks of a study: their digests, and that those of local files can be read before anything is trained."""

from pathlib import Path

from sftlab.benchmarks.loading import benchmark_digest, gives_shots, load_benchmark, reads_local_files
from sftlab.plan.contents import Contents
from sftlab.store import Store
from sftlab.study.declaration import BenchmarkRef, Study

NOTE = "benchmarks"


class Benchmarks:
    """Benchmarks by digest; each is read once and remembered in the store by what decides its items."""

    def __init__(self, study: Study, store: Store, contents: Contents) -> None:
        self._evaluation = study.evaluation
        self._store = store
        self._contents = contents
        self._known = dict(store.read_note(NOTE) or {})
        self._changed = False

    def digest(self, ref: BenchmarkRef) -> str:
        """Identity of a benchmark. Raises BenchmarkError where its local files have no item that can be asked.

        What comes from the hub is not downloaded for this.
        """
        folder, found = Path.cwd(), self._evaluation
        benchmarks_dir = Path(found.benchmarks_dir) if found.benchmarks_dir else None
        limit = ref.items or found.items
        items = None if limit == "all" else limit
        digest = benchmark_digest(
            ref, folder=folder, benchmarks_dir=benchmarks_dir, items=items, file_digest=self._contents.file
        )
        if digest not in self._known and reads_local_files(ref, folder=folder, benchmarks_dir=benchmarks_dir):
            benchmark = load_benchmark(
                ref, folder=folder, benchmarks_dir=benchmarks_dir, items=items, file_digest=self._contents.file
            )
            self._known[digest] = len(benchmark.items)
            self._changed = True
        return digest

    def without_shots(self) -> tuple[str, ...]:
        """The benchmarks that have no examples to give for the study's `base_shots`, and none of their own stated.

        Raises BenchmarkError where a definition is wrong.
        """
        found = self._evaluation
        if not found.base_shots:
            return ()
        local = Path(found.benchmarks_dir) if found.benchmarks_dir else None
        asked = (ref for ref in found.benchmarks if ref.base_shots is None)
        return tuple(ref.name for ref in asked if not gives_shots(ref, folder=Path.cwd(), benchmarks_dir=local))

    def remember(self) -> None:
        """Write what was read to the store."""
        if self._changed:
            self._store.write_note(NOTE, self._known)

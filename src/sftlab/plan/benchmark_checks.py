"""Benchmarks of a study: their digests, and that those of local files can be read before anything is trained."""

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from sftlab.benchmarks.loading import benchmark_digest, gives_shots, load_benchmark, missing_files, reads_local_files
from sftlab.errors import BenchmarkError
from sftlab.plan.contents import Contents
from sftlab.store import Store
from sftlab.study.declaration import BenchmarkRef, Study

NOTE = "benchmarks"
NAMED_FILES = 6
"""So many missing files of a folder are named one by one; the subjects of MMLU are told by the first and a count."""


class Benchmarks:
    """Benchmarks by digest; each is read once and remembered in the store by what decides its items."""

    def __init__(self, study: Study, store: Store, contents: Contents) -> None:
        self._evaluation = study.evaluation
        self._store = store
        self._contents = contents
        self._known = dict(store.read_note(NOTE) or {})
        self._changed = False

    def digests(self, refs: Iterable[BenchmarkRef]) -> tuple[tuple[BenchmarkRef, str], ...]:
        """Benchmarks with their identities. Raises BenchmarkError, with all files that are missing in one message."""
        refs = tuple(refs)
        try:
            return tuple((ref, self.digest(ref)) for ref in refs)
        except BenchmarkError as error:
            complaint = self._missing(refs)
            if complaint is None:
                raise
            raise BenchmarkError(complaint) from error

    def _missing(self, refs: tuple[BenchmarkRef, ...]) -> str | None:
        """What to say of all files that are missing, where there are several; None of one, which has its own words."""
        local = Path(self._evaluation.benchmarks_dir) if self._evaluation.benchmarks_dir else None
        needed: dict[Path, list[str]] = {}
        for ref in refs:
            try:
                found = missing_files(ref, folder=Path.cwd(), benchmarks_dir=local)
            except BenchmarkError:
                continue
            for file in found:
                use = ref.name if file.purpose == "items" else f"{file.purpose} of {ref.name}"
                uses = needed.setdefault(file.path, [])
                if not {use, use.removesuffix("@base")} & {*uses}:
                    uses.append(use)
        if len(needed) < 2:
            return None
        folders = groupby(sorted(needed, key=lambda path: (path.parent, path.name)), key=lambda path: path.parent)
        said = "; ".join(_in_folder(folder, {path: needed[path] for path in paths}) for folder, paths in folders)
        shots = any(use.startswith("shots of") for uses in needed.values() for use in uses)
        advice = (
            "; `shots: 0` (`base_shots: 0` of the bases' own form) needs no shots, `shots_from: items` no file of them"
        )
        return f"{len(needed)} files of the benchmarks do not exist: {said}{advice if shots else ''}"

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


def _in_folder(folder: Path, uses: dict[Path, list[str]]) -> str:
    """The missing files of a folder, each with the benchmarks that need it."""
    by_use = groupby(sorted(uses, key=lambda path: uses[path]), key=lambda path: uses[path])
    parts = []
    for names, paths in by_use:
        files = [path.name for path in paths]
        told = ", ".join(files) if len(files) <= NAMED_FILES else f"{files[0]} and {len(files) - 1} more"
        parts.append(f"{told} ({', '.join(names)})")
    return f"in {folder}{'' if folder.is_dir() else ', which is no folder,'} {', '.join(parts)}"

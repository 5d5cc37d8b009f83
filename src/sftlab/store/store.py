"""The store: a folder that holds every result under its identity, and the only code that reads or writes it."""

import io
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import cast

import polars as pl

from sftlab.errors import StoreError
from sftlab.store.disk import unwritable
from sftlab.store.record import Failure, Kind, Record
from sftlab.store.segment import Frame, SegmentWriter, read_frames, read_table, sync_folder


class Store:
    """Results of any number of studies, shared by identity.

    Opening a store writes nothing. `refresh` reads what other processes committed since; all look-ups answer from what
    was read last.
    """

    def __init__(self, root: Path) -> None:
        if root.exists() and not root.is_dir():
            raise StoreError(f"the store is a folder, got a file: {root}")
        self.root = root
        self._done: dict[str, Frame] = {}
        self._failed: dict[str, Failure] = {}
        self._read_to: dict[Path, int] = {}
        name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.seg"
        self._writer = SegmentWriter(root / "segments" / name)
        self.refresh()

    def refresh(self) -> None:
        """Read the frames that were committed since the last look."""
        for path in sorted((self.root / "segments").glob("*.seg")):
            for frame in read_frames(path, self._read_to.get(path, 0)):
                self._read_to[path] = frame.end
                self._take(frame)

    def _take(self, frame: Frame) -> None:
        header = frame.header
        identity = cast("str", header["identity"])
        if header["failed"]:
            failure = Failure(
                identity=identity,
                kind=cast("Kind", header["kind"]),
                reason=cast("str", header["reason"]),
                log=cast("str", header["log"]),
                provenance=cast("dict[str, object]", header["provenance"]),
            )
            known = self._failed.get(identity)
            if known is None or _written_at(known.provenance) <= _written_at(failure.provenance):
                self._failed[identity] = failure
        else:
            self._done.setdefault(identity, frame)

    def commit(self, record: Record) -> None:
        """Keep a finished record; it is on disk when this returns, whole or not at all."""
        header = {
            "identity": record.identity,
            "kind": record.kind,
            "failed": False,
            "spec": dict(record.spec),
            "result": dict(record.result),
            "provenance": {**record.provenance, "written_at": time.time()},
        }
        self._writer.append(header, record.rows)
        self.refresh()

    def commit_failure(self, failure: Failure) -> None:
        """Keep the reason and log of an attempt that gave no result."""
        header = {
            "identity": failure.identity,
            "kind": failure.kind,
            "failed": True,
            "reason": failure.reason,
            "log": failure.log,
            "provenance": {**failure.provenance, "written_at": time.time()},
        }
        self._writer.append(header, {})
        self.refresh()

    def has(self, identity: str) -> bool:
        """Whether a finished record is held."""
        return identity in self._done

    def failure(self, identity: str) -> Failure | None:
        """Why the last attempt failed, where there is a failure and no finished record."""
        return None if identity in self._done else self._failed.get(identity)

    def record(self, identity: str) -> Record | None:
        """The finished record without its raw rows (see `rows`), or None."""
        frame = self._done.get(identity)
        if frame is None:
            return None
        header = frame.header
        return Record(
            identity=identity,
            kind=cast("Kind", header["kind"]),
            spec=cast("Mapping[str, object]", header["spec"]),
            result=cast("Mapping[str, object]", header["result"]),
            provenance=cast("Mapping[str, object]", header["provenance"]),
        )

    def records(self, kind: Kind) -> Iterable[Record]:
        """All finished records of a kind."""
        for identity, frame in list(self._done.items()):
            if frame.header["kind"] == kind:
                record = self.record(identity)
                assert record is not None
                yield record

    def rows(self, identity: str, table: str) -> pl.DataFrame | None:
        """A raw table of a finished record, or None where there is no such record or table."""
        frame = self._done.get(identity)
        return None if frame is None else read_table(frame, table)

    def checkpoint_folder(self, trajectory: str, epoch: int) -> Path:
        """Where a checkpoint's weights lie; the folder exists only when they are whole."""
        return self.root / "checkpoints" / trajectory / f"epoch-{epoch}"

    def working_folder(self, run_identity: str) -> Path:
        """Where an unfinished run keeps what it needs to go on; removed when the run is done."""
        return self.root / "working" / run_identity

    def questions(self, benchmark_digest: str) -> pl.DataFrame | None:
        """What a benchmark's items ask, or None where no model has been scored on it."""
        path = self._questions_path(benchmark_digest)
        try:
            return pl.read_parquet(path) if path.is_file() else None
        except pl.exceptions.PolarsError as error:
            raise StoreError(f"{path} cannot be read: {str(error).strip().splitlines()[0]}") from error

    def keep_questions(self, benchmark_digest: str, questions: Callable[[], pl.DataFrame]) -> None:
        """Keep what a benchmark's items ask, if it is not here yet."""
        path = self._questions_path(benchmark_digest)
        if path.is_file():
            return
        content = io.BytesIO()
        questions().write_parquet(content, compression="zstd")
        try:
            write_atomically(path, content.getvalue())
        except OSError as error:
            raise unwritable(error, path) from error

    def _questions_path(self, benchmark_digest: str) -> Path:
        return self.root / "questions" / f"{benchmark_digest}.parquet"

    @property
    def tokens_folder(self) -> Path:
        """Where tokenised datasets are kept, by the digest of what they were made from."""
        return self.root / "tokens"

    @property
    def judge_folder(self) -> Path:
        """Where judges' answers are kept, for all studies of this store."""
        return self.root / "judge"

    @property
    def programs_folder(self) -> Path:
        """Where verdicts on generated programs are kept, for all studies of this store."""
        return self.root / "programs"

    def write_note(self, name: str, value: Mapping[str, object]) -> None:
        """Replace a small named file atomically: caches and announcements, never results."""
        path = self.root / "notes" / f"{name}.json"
        try:
            write_atomically(path, json.dumps(value).encode())
        except OSError as error:
            raise unwritable(error, path) from error

    def read_note(self, name: str) -> dict[str, object] | None:
        """A small named file, or None where it is missing or damaged."""
        try:
            value = json.loads((self.root / "notes" / f"{name}.json").read_bytes())
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def notes(self, prefix: str) -> Iterable[tuple[str, dict[str, object]]]:
        """All small named files whose name starts so."""
        for path in sorted((self.root / "notes").glob(f"{prefix}*.json")):
            value = self.read_note(path.stem)
            if value is not None:
                yield path.stem, value

    def remove_note(self, name: str) -> None:
        """Remove a small named file, if it is there."""
        (self.root / "notes" / f"{name}.json").unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole, or as it was before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _written_at(provenance: Mapping[str, object]) -> float:
    return cast("float", provenance["written_at"])

"""Answers that were paid for: one line each in a file that is only ever appended to, synced before it is relied on.

Any number of threads and processes may read and write; a line that was cut by a crash is passed over and its question
is open again.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from sftlab.store.disk import unwritable
from sftlab.store.segment import sync_folder

CLAIMS = 1024


class Ledger:
    """Entries by key, in a folder of the store; an entry is a mapping of plain values."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "answers.jsonl"
        self._claims = folder / "claims"
        self._entries: dict[str, list[Mapping[str, object]]] = {}
        self._read_to = 0
        self._lock = Lock()
        self.refresh()

    def refresh(self) -> None:
        """Read what was appended since the last look, by whomever."""
        with self._lock:
            if not self._path.is_file():
                return
            with self._path.open("rb") as file:
                file.seek(self._read_to)
                content = file.read()
            whole = content.rfind(b"\n") + 1
            for line in content[:whole].splitlines():
                entry = _entry(line)
                if entry is not None:
                    self._entries.setdefault(str(entry["key"]), []).append(entry)
            self._read_to += whole

    def entries(self, key: str) -> tuple[Mapping[str, object], ...]:
        """All entries of a key as of the last look, oldest first."""
        with self._lock:
            return tuple(self._entries.get(key, ()))

    def append(self, key: str, entry: Mapping[str, object]) -> None:
        """Keep an entry; it is on disk when this returns. Raises StoreError where it cannot be written."""
        line = json.dumps({"key": key, **entry}, ensure_ascii=True, allow_nan=False).encode() + b"\n"
        try:
            new = not self._path.exists()
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                _write(file.fileno(), line)
            if new:
                sync_folder(self.folder)
        except OSError as error:
            raise unwritable(error, self._path) from error
        self.refresh()

    @contextmanager
    def claimed(self, key: str) -> Iterator[None]:
        """Within it nobody else has this key: what two ask at the same time is asked once.

        The claim is a lock on one of a thousand files, which keys share, and goes with its process.
        """
        try:
            self._claims.mkdir(parents=True, exist_ok=True)
            file = (self._claims / f"{int(key[:8], 16) % CLAIMS:03x}").open("a")
        except OSError as error:
            raise unwritable(error, self._claims) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.refresh()
            yield


def _write(descriptor: int, line: bytes) -> None:
    """Append one line, beginning a new one where the last was cut, and sync it; on failure the file is as before."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    if end and os.pread(descriptor, 1, end - 1) != b"\n":
        line = b"\n" + line
    try:
        view = memoryview(line)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, end)
        raise


def _entry(line: bytes) -> dict[str, object] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and "key" in value else None

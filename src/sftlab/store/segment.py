"""Segments: files of framed records, each written by one process, appended and fsynced.

A frame is `MAGIC, header bytes, payload bytes, crc32` (little endian: 4s I Q I), then the header (JSON), then the
payload (Arrow tables). A frame that is cut off or does not match its checksum was being written when its process
died: it and all after it in that segment never happened. No process ever appends to another's segment.
"""

import io
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from sftlab.store.disk import unwritable

MAGIC = b"SFT1"
FRAME = struct.Struct("<4sIQI")


@dataclass(frozen=True)
class Frame:
    """Where a frame's tables lie, and its header."""

    header: dict[str, object]
    segment: Path
    payload_start: int
    end: int


class SegmentWriter:
    """Appends frames to a segment of this process's own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._end = 0

    def append(self, header: Mapping[str, object], rows: Mapping[str, pl.DataFrame]) -> None:
        """Write one frame and sync it to disk; on any failure the segment is as it was before.

        Raises StoreError when the disk is full or not writable.
        """
        payload = io.BytesIO()
        tables: dict[str, tuple[int, int]] = {}
        for name, frame in rows.items():
            start = payload.tell()
            frame.write_ipc(payload, compression="zstd")
            tables[name] = (start, payload.tell() - start)
        head = json.dumps({**header, "tables": tables}, allow_nan=False).encode()
        body = payload.getvalue()
        prefix = FRAME.pack(MAGIC, len(head), len(body), zlib.crc32(body, zlib.crc32(head)))
        try:
            self._write(prefix + head + body)
        except OSError as error:
            raise unwritable(error, self.path) from error

    def _write(self, frame: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.lseek(descriptor, self._end, os.SEEK_SET)
            view = memoryview(frame)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, self._end)
            raise
        finally:
            os.close(descriptor)
        if self._end == 0:
            sync_folder(self.path.parent)
        self._end += len(frame)


def read_frames(path: Path, start: int) -> Iterator[Frame]:
    """Whole frames from byte `start` on; stops before the first that is not whole."""
    with path.open("rb") as file:
        position = start
        while True:
            file.seek(position)
            prefix = file.read(FRAME.size)
            if len(prefix) < FRAME.size:
                return
            magic, head_bytes, body_bytes, checksum = FRAME.unpack(prefix)
            if magic != MAGIC:
                return
            content = file.read(head_bytes + body_bytes)
            if len(content) < head_bytes + body_bytes or zlib.crc32(content) != checksum:
                return
            payload_start = position + FRAME.size + head_bytes
            position = payload_start + body_bytes
            yield Frame(json.loads(content[:head_bytes]), path, payload_start, position)


def read_table(frame: Frame, name: str) -> pl.DataFrame | None:
    """One raw table of a frame, or None where the frame has none of that name."""
    tables = frame.header["tables"]
    assert isinstance(tables, dict)
    if name not in tables:
        return None
    start, length = tables[name]
    with frame.segment.open("rb") as file:
        file.seek(frame.payload_start + start)
        return pl.read_ipc(io.BytesIO(file.read(length)))


def sync_folder(folder: Path) -> None:
    """Make a new name in a folder last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

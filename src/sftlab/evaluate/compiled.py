"""Benchmarks as token arrays on disk, memory-mapped: what one worker encoded, siblings and other workers only read.

Every distinct sequence is kept once: the shots and the question of an item are the same ids for all its choices.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sftlab.lm.request_tree import Ids, Request


@dataclass(frozen=True, eq=False)
class Encoded:
    """One item as ids: requests for its continuations, and the prompt of an answer (empty where none is written)."""

    continuations: tuple[Request, ...]
    prompt_ids: Ids


def read_compiled(folder: Path) -> list[Encoded] | None:
    """The items kept in a folder, or None where it is not whole."""
    try:
        ids = np.load(folder / "ids.npy", mmap_mode="r").view(np.ndarray)
        ends = np.load(folder / "ends.npy")
        pairs = np.load(folder / "pairs.npy")
        items = np.load(folder / "items.npy")
    except (OSError, ValueError):
        return None
    sequences = [ids[start:end] for start, end in zip(np.concatenate([[0], ends[:-1]]), ends, strict=True)]
    requests = [Request(sequences[context], sequences[continuation]) for context, continuation in pairs.tolist()]
    found = []
    first = 0
    for count, prompt in items.tolist():
        found.append(Encoded(tuple(requests[first : first + count]), sequences[prompt]))
        first += count
    return found


def write_compiled(folder: Path, encoded: Sequence[Encoded]) -> None:
    """Keep items in a folder, whole or not at all; another process may do the same."""
    known: dict[bytes, int] = {}
    pairs = [
        (_place(known, request.context_ids), _place(known, request.continuation_ids))
        for item in encoded
        for request in item.continuations
    ]
    items = [(len(item.continuations), _place(known, item.prompt_ids)) for item in encoded]
    sequences = [np.frombuffer(content, dtype=np.int32) for content in known]
    arrays: dict[str, NDArray[np.int32] | NDArray[np.int64]] = {
        "ids": np.concatenate([np.empty(0, np.int32), *sequences]),
        "ends": np.cumsum([len(ids) for ids in sequences], dtype=np.int64),
        "pairs": np.array(pairs, dtype=np.int64).reshape(-1, 2),
        "items": np.array(items, dtype=np.int64).reshape(-1, 2),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name[:12]}-", dir=folder.parent))
    try:
        for name, array in arrays.items():
            with (temporary / f"{name}.npy").open("wb") as file:
                np.save(file, array)
                file.flush()
                os.fsync(file.fileno())
        if folder.exists() and read_compiled(folder) is None:
            shutil.rmtree(folder, ignore_errors=True)
        try:
            temporary.rename(folder)
        except OSError:
            # Another process was quicker: its arrays are the same.
            if read_compiled(folder) is None:
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _place(known: dict[bytes, int], ids: Ids) -> int:
    return known.setdefault(np.ascontiguousarray(ids, dtype=np.int32).tobytes(), len(known))

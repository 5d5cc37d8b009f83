"""A full disk in one sentence: what could not be written, which file system is full, and what to do."""

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from sftlab.errors import SftlabError, StoreError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
SAID = tuple(os.strerror(number) for number in FULL)
"""What libraries that write by themselves (safetensors, torch, polars) repeat in errors of their own."""
NOTHING_LEFT_BYTES = 2**20


def is_of_a_full_disk(error: BaseException) -> bool:
    """Whether something could not be written because a disk is full, or a quota used up."""
    return any(
        (isinstance(one, OSError) and one.errno in FULL)
        or (not isinstance(one, SftlabError) and any(said in str(one) for said in SAID))
        for one in _chain(error)
    )


def full_place(error: BaseException, places: Sequence[Path]) -> Path:
    """What a full disk has no room for: the file that the error names, else the first of `places` with nothing left.

    Where none has nothing left, for a file that did not fit is gone again, it is the first of them.
    """
    named = (one.filename for one in _chain(error) if isinstance(one, OSError) and isinstance(one.filename, str))
    path = next(named, None)
    if path is not None:
        return Path(path)
    full = (place for place in places if shutil.disk_usage(_existing(place)).free < NOTHING_LEFT_BYTES)
    return next(full, places[0])


def is_on_disk_of(path: Path, other: Path) -> bool:
    """Whether two places are of one file system, also where they do not exist yet."""
    return _existing(path).stat().st_dev == _existing(other).stat().st_dev


def disk_state(path: Path) -> str:
    """Which file system a place is on, and how much of it is free."""
    place = _existing(path)
    mount = place
    while mount.parent != mount and mount.parent.stat().st_dev == place.stat().st_dev:
        mount = mount.parent
    return f"the file system at {mount} has {shutil.disk_usage(place).free / 1e6:.1f} MB left"


def unwritable(error: OSError, path: Path) -> StoreError:
    """That something could not be written into the store; where its disk is full, with what to do."""
    said = f"the store cannot be written: {error.strerror} at {path}"
    return StoreError(f"{said}; {full_store(path)}" if is_of_a_full_disk(error) else said)


def full_store(path: Path) -> str:
    """Which disk is full, what became of the study's results, and what to do."""
    return (
        f"{disk_state(path)}: what is finished is kept, so make room there, or move the store and name it with "
        "`--store`, and start again"
    )


def _existing(path: Path) -> Path:
    """The place itself, or the nearest folder above it that exists."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    return place


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__

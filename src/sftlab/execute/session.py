"""One sitting of work on a study: the lock, the executor, and the word to others about how far it is."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from sftlab.errors import StoreError
from sftlab.execute.event import Event, Failed
from sftlab.execute.progress import NOTE_PREFIX, Progress, is_alive
from sftlab.plan.devices import Device
from sftlab.plan.tasks import Job
from sftlab.store import Store

NOTE_SECONDS = 1.0


class Executor(Protocol):
    """Whatever can do jobs."""

    def run(self, jobs: tuple[Job, ...], listen: Callable[[Event | None], None]) -> None:
        """Do all jobs, telling the listener every event, and None about once a second when nothing happens."""


@dataclass(frozen=True)
class Outcome:
    """What came of a sitting."""

    done: int
    failed: tuple[Failed, ...]
    wall_seconds: float
    interrupted: bool


def work(
    executor: Executor,
    jobs: tuple[Job, ...],
    store: Store,
    *,
    study: str,
    devices: tuple[Device, ...],
    show: Callable[[Progress, Event | None], None],
) -> Outcome:
    """Do the jobs, and say how far they are to `show` and, through the store, to other processes.

    An interrupt from the keyboard ends the sitting cleanly: everything committed stays, and the next one goes on from
    there. Raises StoreError when another process works on this store or results cannot be kept.
    """
    progress = Progress.of(study, jobs, min(len(devices), len(jobs)))
    start, noted = time.monotonic(), 0.0
    interrupted = False
    note = f"{NOTE_PREFIX}{os.getpid()}"

    def listen(event: Event | None) -> None:
        nonlocal noted
        if event is not None:
            progress.take(event)
        if time.monotonic() - noted >= NOTE_SECONDS:
            noted = time.monotonic()
            store.write_note(note, progress.note())
        show(progress, event)

    with _alone(store):
        for name, left_behind in store.notes(NOTE_PREFIX):
            if not is_alive(left_behind):
                store.remove_note(name)
        try:
            executor.run(jobs, listen)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            store.remove_note(note)
    store.refresh()
    return Outcome(progress.num_done, tuple(progress.failures), time.monotonic() - start, interrupted)


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    """The store's lock; it goes with its process, however that ends."""
    path = store.root / "run.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"the store cannot be written: {error.strerror} at {path}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"another `sftlab run` is at work on the store {store.root}: wait for it (`sftlab status` shows it), "
                "or give this one another `--store`"
            ) from None
        yield

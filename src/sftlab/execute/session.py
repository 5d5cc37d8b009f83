"""One sitting of work on a study: the lock, the executor, and the word to others about how far it is."""

import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from sftlab.errors import StoreError
from sftlab.execute.event import Event, Failed
from sftlab.execute.progress import LOCK, NOTE_PREFIX, Progress, locked
from sftlab.plan.devices import Device
from sftlab.plan.tasks import Job
from sftlab.store import Store
from sftlab.store.disk import unwritable

NOTE_SECONDS = 1.0
LOCK_SECONDS = 1.0


class Executor(Protocol):
    """Whatever can do jobs."""

    def run(
        self, jobs: tuple[Job, ...], listen: Callable[[Event | None], None], more: Callable[[], tuple[Job, ...]]
    ) -> None:
        """Do all jobs, then those that there are `more` of, until there are none.

        The listener is told every event, and None about once a second when nothing happens.
        """


@dataclass(frozen=True)
class Outcome:
    """What came of a sitting."""

    done: int
    failed: tuple[Failed, ...]
    wall_seconds: float
    interrupted: bool


def work(
    executor: Executor,
    store: Store,
    *,
    study: str,
    devices: tuple[Device, ...],
    pending: Callable[[], tuple[Job, ...]],
    show: Callable[[Progress, Event | None], None],
) -> Outcome:
    """Do what is `pending`, and what then is, each task once.

    How far it is goes to `show` and, through the store, to other processes. An interrupt from the keyboard ends the
    sitting cleanly: everything committed stays, and the next one goes on from there. Raises StoreError when another
    process works on this store or results cannot be kept.
    """
    start = time.monotonic()
    with _alone(store, study):
        sitting = _Sitting(store, pending, show, Progress(study, Counter(), len(devices)))
        interrupted = sitting.run(executor)
    store.refresh()
    progress = sitting.progress
    return Outcome(progress.num_done, tuple(progress.failures), time.monotonic() - start, interrupted)


class _Sitting:
    """What is told and tried between start and end, by the one process that holds the store."""

    def __init__(
        self,
        store: Store,
        pending: Callable[[], tuple[Job, ...]],
        show: Callable[[Progress, Event | None], None],
        progress: Progress,
    ) -> None:
        self.progress = progress
        self._store = store
        self._pending = pending
        self._show = show
        self._tried: set[str] = set()
        self._noted = 0.0
        self._note = f"{NOTE_PREFIX}{os.getpid()}"

    def run(self, executor: Executor) -> bool:
        """Do all there is to do; whether it was interrupted."""
        for name, _ in self._store.notes(NOTE_PREFIX):
            self._store.remove_note(name)
        jobs = self._more()
        self.progress.workers = max(1, min(self.progress.workers, len(jobs)))
        try:
            self._listen(None)
            executor.run(jobs, self._listen, self._more)
        except KeyboardInterrupt:
            return True
        finally:
            self._store.remove_note(self._note)
        return False

    def _listen(self, event: Event | None) -> None:
        if event is not None:
            self.progress.take(event)
        if time.monotonic() - self._noted >= NOTE_SECONDS:
            self._noted = time.monotonic()
            self._store.write_note(self._note, self.progress.note())
        self._show(self.progress, event)

    def _more(self) -> tuple[Job, ...]:
        self._store.refresh()
        jobs = _untried(self._pending(), self._tried)
        self._tried.update(task.identity for job in jobs for task in job.tasks)
        self.progress.add(jobs)
        return jobs


def _untried(jobs: tuple[Job, ...], tried: set[str]) -> tuple[Job, ...]:
    """Jobs without the tasks that this sitting has tried: what failed is for the next one."""
    fresh = (replace(job, tasks=tuple(task for task in job.tasks if task.identity not in tried)) for job in jobs)
    return tuple(job for job in fresh if job.tasks)


@contextmanager
def _alone(store: Store, study: str) -> Iterator[None]:
    """The store's lock, with word of who has it; waits a moment, as others look at the lock to see whether it is held.

    It goes with its process, however that ends.
    """
    path = store.root / LOCK
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise unwritable(error, path) from error
    with file:
        patience = time.monotonic() + LOCK_SECONDS
        while not locked(file):
            if time.monotonic() > patience:
                file.seek(0)
                holder = file.read().strip() or "another process"
                raise StoreError(
                    f"{holder} is at work on the store {store.root}, and one works on it at a time: wait for it "
                    "(`sftlab status` shows it), or give this one another `--store`"
                )
            time.sleep(LOCK_SECONDS / 10)
        file.truncate(0)
        file.write(f"study {study} (process {os.getpid()} on {platform.node()})\n")
        file.flush()
        yield

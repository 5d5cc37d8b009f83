"""How far a study is, from what its workers tell."""

import fcntl
import os
import platform
import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from sftlab.execute.event import Event, Failed, Finished, Idle, Moved, Preparing, Started
from sftlab.plan.tasks import Job
from sftlab.store import Kind

RATE_WINDOW_SECONDS = 20.0
STALE_SECONDS = 60.0
NOTE_PREFIX = "running-"
LOCK = "run.lock"


@dataclass
class Progress:
    """Counts, rate and time left; fed with events one by one."""

    study: str
    total: Counter[Kind]
    workers: int
    started_at: float = field(default_factory=time.time)
    done: Counter[Kind] = field(default_factory=Counter)
    failures: list[Failed] = field(default_factory=list)
    current: dict[int, tuple[str, float]] = field(default_factory=dict)
    preparing: dict[int, str] = field(default_factory=dict)
    _seconds: dict[Kind, list[float]] = field(default_factory=lambda: defaultdict(list))
    _tokens: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, jobs: tuple[Job, ...]) -> None:
        """More to do than was known before."""
        self.total.update(task.kind for job in jobs for task in job.tasks)

    def take(self, event: Event) -> None:
        """Count one event."""
        match event:
            case Started(worker, _, kind, subject):
                self.current[worker] = (f"{kind} {subject}", 0.0)
                self.preparing.pop(worker, None)
            case Preparing(worker, what):
                self.preparing[worker] = what
            case Moved(worker, share, tokens):
                if tokens:
                    self._tokens.append((time.monotonic(), tokens))
                if worker in self.current:
                    self.current[worker] = (self.current[worker][0], share)
            case Finished(_, kind, _, _, seconds):
                self.done[kind] += 1
                self._seconds[kind].append(seconds)
            case Failed():
                self.failures.append(event)
            case Idle(worker):
                self.current.pop(worker, None)
                self.preparing.pop(worker, None)

    @property
    def num_done(self) -> int:
        """Tasks that left a record."""
        return self.done.total()

    @property
    def tokens_per_second(self) -> float | None:
        """Training tokens per second of all workers together, over the last 20 seconds; None before there are any."""
        horizon = time.monotonic() - RATE_WINDOW_SECONDS
        while self._tokens and self._tokens[0][0] < horizon:
            self._tokens.popleft()
        if len(self._tokens) < 2:
            return None
        elapsed = time.monotonic() - self._tokens[0][0]
        return sum(tokens for _, tokens in self._tokens) / elapsed if elapsed > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """Time left if every task takes as long as its kind did so far; None before the first is done."""
        if not self._seconds:
            return None
        means = {kind: sum(times) / len(times) for kind, times in self._seconds.items()}
        unknown = max(means.values())
        failed = Counter(failure.kind for failure in self.failures)
        left = sum(
            (count - self.done[kind] - failed[kind]) * means.get(kind, unknown) for kind, count in self.total.items()
        )
        return max(0.0, left) / self.workers

    def note(self) -> dict[str, object]:
        """The same for other processes to read."""
        return {
            "study": self.study,
            "pid": os.getpid(),
            "host": platform.node(),
            "started_at": self.started_at,
            "updated_at": time.time(),
            "total": dict(self.total),
            "done": dict(self.done),
            "failed": len(self.failures),
            "workers": self.workers,
            "current": [{"task": text, "share": share} for text, share in self.current.values()],
            "tokens_per_second": self.tokens_per_second,
            "seconds_left": self.seconds_left,
        }


def is_alive(note: dict[str, object]) -> bool:
    """Whether the process that wrote a progress note may still be at work: it writes about once a second.

    A process that was just killed leaves a note that looks alive; `is_at_work` knows better.
    """
    updated, pid = note.get("updated_at"), note.get("pid")
    if not isinstance(updated, float) or time.time() - updated > STALE_SECONDS:
        return False
    here = note.get("host") == platform.node() and Path("/proc").is_dir()
    return Path(f"/proc/{pid}").exists() if here else True


def locked(file: TextIO) -> bool:
    """Take a store's lock through its open file if nobody has it; the lock goes with its process, however that ends."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_at_work(root: Path) -> bool:
    """Whether some process works on the store now: whether the lock of its folder is held."""
    try:
        with (root / LOCK).open("r+", encoding="utf-8") as file:
            return not locked(file)
    except OSError:
        return False

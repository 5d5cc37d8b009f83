"""One run on several devices: a process for each, started by the worker that the run was given to.

The worker keeps out of what they compute together. When one of them fails or dies the others wait for it inside a
computation, so that the worker ends them all: nothing hangs, and the cell fails with the reason.
"""

import multiprocessing
import os
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from sftlab.errors import SftlabError, TrainingError
from sftlab.execute.event import Event, Moved
from sftlab.execute.parent import leave_with_parent
from sftlab.execute.training import train_here
from sftlab.execute.workplace import Setup, Workplace
from sftlab.plan.tasks import Job
from sftlab.study.cells import RunCell
from sftlab.train.run import TrainedRun

GRACE_SECONDS = 2.0
"""How long the others may still say what happened after one rank has failed."""


@dataclass(frozen=True)
class _Done:
    trained: TrainedRun


@dataclass(frozen=True)
class _OutOfMemory:
    """What to do about it is written down: the same again."""


@dataclass(frozen=True)
class _Lost:
    """An error, which may only be that another rank has gone."""

    error: SftlabError
    log: str
    of_another: bool


@dataclass(frozen=True)
class _Gone:
    exit_code: int | None


_Answer = _Done | _OutOfMemory | _Lost | _Gone


class _InRankError(Exception):
    """Carries the traceback of another process."""


@dataclass(frozen=True, eq=False)
class _Rank:
    process: SpawnProcess
    connection: Connection


class RankProcesses:
    """The ranks of one worker, one on its own device and one on each of its partners; started when first needed."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._devices = (replace(setup.device, partners=()), *setup.device.partners)
        self._ranks: list[_Rank] = []
        self._meeting: tempfile.TemporaryDirectory[str] | None = None

    def train(self, job: Job, cell: RunCell, tell: Callable[[Event], None]) -> TrainedRun:
        """Train a run on all devices; where memory runs out on one, all begin again with less at a time.

        Raises what a rank raised, and TrainingError where one died.
        """
        while True:
            self._start()
            try:
                for rank in self._ranks:
                    rank.connection.send((job, cell))
                answers = self._listen(tell)
            except BaseException:
                self.stop()
                raise
            first = answers.get(0)
            if isinstance(first, _Done) and all(isinstance(answer, _Done) for answer in answers.values()):
                return first.trained
            self.stop()
            if not any(isinstance(answer, _OutOfMemory) for answer in answers.values()):
                raise _failure(answers, len(self._devices))

    def stop(self) -> None:
        """End all ranks at once."""
        for rank in self._ranks:
            rank.process.kill()
        for rank in self._ranks:
            rank.process.join()
            rank.connection.close()
        self._ranks = []
        if self._meeting is not None:
            self._meeting.cleanup()
            self._meeting = None

    def _start(self) -> None:
        if self._ranks:
            return
        # Other ranks that go are told of by the worker, in a sentence.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        self._meeting = tempfile.TemporaryDirectory(prefix="sftlab-ranks-", ignore_cleanup_errors=True)
        meeting = Path(self._meeting.name) / "ranks"
        self._ranks = [self._started(index, meeting) for index in range(len(self._devices))]

    def _started(self, index: int, meeting: Path) -> _Rank:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        setup = replace(self._setup, device=self._devices[index])
        process = context.Process(
            target=_work,
            args=(setup, index, len(self._devices), meeting, theirs),
            name=f"sftlab-rank-{index}",
            daemon=True,
        )
        process.start()
        theirs.close()
        return _Rank(process, ours)

    def _listen(self, tell: Callable[[Event], None]) -> dict[int, _Answer]:
        """An answer of every rank, or of those that gave one soon after the first that is not done."""
        answers: dict[int, _Answer] = {}
        until: float | None = None
        while len(answers) < len(self._ranks):
            silent = {rank.connection: index for index, rank in enumerate(self._ranks) if index not in answers}
            ready = wait(list(silent), timeout=None if until is None else max(0.0, until - time.monotonic()))
            if not ready:
                break
            for connection in ready:
                assert isinstance(connection, Connection)
                said = _said(self._ranks[silent[connection]])
                if isinstance(said, Moved):
                    tell(said)
                    continue
                answers[silent[connection]] = said
                if until is None and not isinstance(said, _Done):
                    until = time.monotonic() + GRACE_SECONDS
        return answers


def _said(rank: _Rank) -> Moved | _Answer:
    try:
        said: Moved | _Answer = rank.connection.recv()
    except (EOFError, ConnectionResetError):
        rank.process.join()
        return _Gone(rank.process.exitcode)
    return said


def _failure(answers: dict[int, _Answer], count: int) -> SftlabError:
    """The error of the rank that failed first: one of its own, else that it died, else that it missed another."""
    lost = {index: answer for index, answer in answers.items() if isinstance(answer, _Lost)}
    of_its_own = next((answer for answer in lost.values() if not answer.of_another), None)
    gone = {index: answer for index, answer in answers.items() if isinstance(answer, _Gone)}
    if of_its_own is None and gone:
        index, answer = next(iter(gone.items()))
        return TrainingError(f"rank {index} of {count} died (killed, or out of memory), exit code {answer.exit_code}")
    told = of_its_own or next(iter(lost.values()))
    told.error.__cause__ = _InRankError(told.log)
    return told.error


def _work(setup: Setup, index: int, count: int, meeting: Path, connection: Connection) -> None:
    """Body of a rank: runs in, answers out, until the worker goes or something fails."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=leave_with_parent, args=(meeting.parent,), daemon=True).start()
    from sftlab.lm.sharding import meet

    try:
        mesh = meet(meeting, index=index, count=count, device=setup.device.torch_name)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the reason that the cell fails
        connection.send(_lost(error))
        return
    place = Workplace(setup, connection.send if index == 0 else _tell_nobody, mesh=mesh)
    try:
        while True:
            job, cell = connection.recv()
            answer = _answer(place, job, cell)
            connection.send(answer)
            if not isinstance(answer, _Done):
                return
    except EOFError:
        return


def _answer(place: Workplace, job: Job, cell: RunCell) -> _Answer:
    from sftlab.train.memory_note import OutOfStepError

    try:
        return _Done(train_here(place, job, cell))
    except OutOfStepError:
        return _OutOfMemory()
    except Exception as error:  # noqa: BLE001 - one cell's failure, whatever it is, must not end the study
        return _lost(error)


def _lost(error: Exception) -> _Lost:
    from sftlab.lm.sharding import misses_another_rank

    log = "".join(traceback.format_exception(error))
    if isinstance(error, SftlabError):
        return _Lost(error, log, of_another=False)
    first_line = f"{type(error).__name__}: {error}".strip().partition("\n")[0]
    return _Lost(TrainingError(first_line), log, of_another=misses_another_rank(error))


def _tell_nobody(event: Event) -> None:
    del event

"""Local processes: one warm worker per device, jobs handed out breadth first and by base."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from sftlab.errors import SftlabError, StoreError
from sftlab.evaluate.engines.server import Start
from sftlab.execute.event import Event, Failed, Finished, Idle
from sftlab.execute.parent import leave_with_parent
from sftlab.execute.worker import Worker, task_subject
from sftlab.execute.workplace import Manner, Setup
from sftlab.plan.devices import Device
from sftlab.plan.resolve import Resolved
from sftlab.plan.tasks import Job
from sftlab.store import Failure, Store

WAIT_SECONDS = 1.0
QUIET: Mapping[str, str] = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}
WORKER_GONE = "the worker process died (killed, or out of memory)"


@dataclass
class _Seat:
    """A worker process and what it is doing."""

    index: int
    device: Device
    process: SpawnProcess
    connection: Connection
    job: Job | None = None
    base: str | None = None
    done: set[str] = field(default_factory=set)


class LocalExecutor:
    """Runs jobs in local processes and tells a listener what happens."""

    def __init__(self, resolved: Resolved, store: Store, devices: tuple[Device, ...], *, manner: Manner) -> None:
        self._resolved = resolved
        self._store = store
        self._devices = devices
        self._manner = manner
        self._context = multiprocessing.get_context("spawn")
        self._seats: list[_Seat] = []

    def run(
        self, jobs: tuple[Job, ...], listen: Callable[[Event | None], None], more: Callable[[], tuple[Job, ...]]
    ) -> None:
        """Do all jobs, then those that there are `more` of.

        `listen` gets every event, and None about once a second when nothing happens. A worker that dies costs the task
        it was at, which becomes a failure; the rest of its job is tried by the next. Raises StoreError when results can
        no longer be kept.
        """
        waiting = list(jobs)
        os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
        try:
            self._seats = [self._sit(index, device) for index, device in enumerate(self._devices[: len(jobs)])]
            while waiting:
                for seat in self._seats:
                    self._hand_out(seat, waiting)
                while any(seat.job is not None for seat in self._seats):
                    self._turn(waiting, listen)
                waiting.extend(more())
        finally:
            self._stop()

    def _turn(self, waiting: list[Job], listen: Callable[[Event | None], None]) -> None:
        seats = {seat.connection: seat for seat in self._seats if seat.job is not None}
        ready = wait(list(seats), timeout=WAIT_SECONDS)
        if not ready:
            listen(None)
        for connection in ready:
            assert isinstance(connection, Connection)
            seat = seats[connection]
            events: tuple[Event | SftlabError, ...]
            try:
                events = (connection.recv(),)
            except (EOFError, ConnectionResetError):
                events = self._replace(seat, waiting)
            for event in events:
                listen(self._taken(event, seat, waiting))

    def _taken(self, event: Event | SftlabError, seat: _Seat, waiting: list[Job]) -> Event:
        if isinstance(event, SftlabError):
            raise event
        if isinstance(event, Finished | Failed):
            seat.done.add(event.identity)
        if isinstance(event, Idle):
            self._hand_out(seat, waiting)
        return event

    def _hand_out(self, seat: _Seat, waiting: list[Job]) -> None:
        job = self._next_for(seat, waiting)
        seat.job, seat.done = job, set()
        if job is not None:
            waiting.remove(job)
            seat.base = job.base.base.name
            seat.connection.send(job)

    def _next_for(self, seat: _Seat, waiting: list[Job]) -> Job | None:
        """The next job of the first unfinished wave: of the base in memory, else of one that nobody has in memory."""
        wave = [job for job in waiting if job.wave == waiting[0].wave] if waiting else []
        taken = {other.base for other in self._seats if other is not seat}
        for job in wave:
            if job.base.base.name == seat.base:
                return job
        for job in wave:
            if job.base.base.name not in taken:
                return job
        return wave[0] if wave else None

    def _replace(self, seat: _Seat, waiting: list[Job]) -> tuple[Event, ...]:
        """Put a new worker where one died; the task it was at becomes a failure, and with a run all that needs it."""
        assert seat.job is not None
        seat.process.join()
        job, reason = seat.job, f"{WORKER_GONE}, exit code {seat.process.exitcode}"
        self._store.refresh()
        left = [task for task in job.tasks if task.identity not in seat.done and not self._store.has(task.identity)]
        fresh = self._sit(seat.index, seat.device)
        seat.process, seat.connection, seat.base = fresh.process, fresh.connection, None
        lost = left[:1] if left and left[0].kind != "train" else left
        for task in lost:
            self._store.commit_failure(Failure(task.identity, task.kind, reason, ""))
        rest = tuple(task for task in left if task not in lost)
        if rest:
            waiting.insert(0, Job(job.base, job.run, rest, job.wave))
        failures = (Failed(seat.index, task.kind, task.identity, task_subject(task), reason) for task in lost)
        return (*failures, Idle(seat.index))

    def _sit(self, index: int, device: Device) -> _Seat:
        ours, theirs = self._context.Pipe()
        setup = Setup(self._resolved, self._store.root, device, index, self._manner)
        # Daemons may have no processes of their own, as a worker with several devices has.
        process = self._context.Process(
            target=_work, args=(setup, theirs), name=f"sftlab-worker-{index}", daemon=not device.partners
        )
        process.start()
        theirs.close()
        return _Seat(index, device, process, ours)

    def _stop(self) -> None:
        for seat in self._seats:
            seat.process.kill()
            seat.process.join()
            seat.connection.close()


def _seeing_its_gpu_alone(setup: Setup) -> Setup:
    """Where vLLM answers in process, the worker's GPU as the only one, from its start on: vLLM takes the first."""
    device = setup.device
    if setup.resolved.study.evaluation.engine != "vllm" or device.kind != "cuda" or device.partners:
        return setup
    os.environ.update(Start("", "", device.index).environment)
    return replace(setup, device=replace(device, index=0))


def _work(setup: Setup, connection: Connection) -> None:
    """Body of a worker process: jobs in, events out, until the parent goes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    setup = _seeing_its_gpu_alone(setup)
    threading.Thread(target=leave_with_parent, daemon=True).start()
    try:
        worker = Worker(setup, connection.send)
        while True:
            worker.do(connection.recv())
    except EOFError:
        return
    except StoreError as error:
        connection.send(error)

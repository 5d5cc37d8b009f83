"""A worker: one job after another; each task leaves a record or a failure in the store."""

import re
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from sftlab.errors import SftlabError, StoreError
from sftlab.execute.event import Event, Failed, Finished, Idle, Started
from sftlab.execute.kept_checkpoints import remove_unwanted_checkpoints
from sftlab.execute.workplace import Setup, Workplace
from sftlab.plan.tasks import Job, Task
from sftlab.store import Failure
from sftlab.store.disk import disk_state, full_place, full_store, is_of_a_full_disk, is_on_disk_of
from sftlab.study.cells import MeasureCell, ProbeCell, RunCell, ScoreCell


class Worker:
    """Does jobs at its workplace and tells what happens."""

    def __init__(self, setup: Setup, tell: Callable[[Event], None]) -> None:
        self._place = Workplace(setup, tell)
        if setup.device.partners:
            from sftlab.execute.ranks import RankProcesses

            self._place.all_devices = RankProcesses(setup)

    def do(self, job: Job) -> None:
        """Do a job's tasks in order; each leaves a record or a failure in the store."""
        from sftlab.execute.steps import STEPS

        failed_runs: dict[str, str] = {}
        for task in job.tasks:
            subject = task_subject(task)
            self._place.tell(Started(self._place.setup.worker, job.name, task.kind, subject))
            run_failed = failed_runs.get(task.cell.run or "") if isinstance(task.cell, ScoreCell | ProbeCell) else None
            if run_failed is not None:
                self._fail(task, f"its run failed: {run_failed}", "")
                continue
            start = time.monotonic()
            try:
                self._place.store.commit(STEPS[task.kind](self._place, job, task))
            except (StoreError, KeyboardInterrupt):
                raise
            except Exception as error:  # noqa: BLE001 - one cell's failure, whatever it is, must not end the study
                reason = self._reason(error, subject)
                self._fail(task, reason, traceback.format_exc())
                self._place.forget_model()
                self._place.stop_serving()
                if isinstance(task.cell, RunCell):
                    failed_runs[task.cell.spec.run] = reason
                continue
            seconds = time.monotonic() - start
            self._place.tell(Finished(self._place.setup.worker, task.kind, task.identity, subject, seconds))
        if job.run is not None:
            remove_unwanted_checkpoints(self._place.setup.resolved, self._place.store, job.run.trajectory)
        self._place.tell(Idle(self._place.setup.worker))

    def leave(self) -> None:
        """End what this worker has running beside itself."""
        self._place.stop_serving()

    def _reason(self, error: Exception, subject: str) -> str:
        """A failure in one sentence. Raises StoreError where the store's disk is full, as no cell would fare better."""
        if not is_of_a_full_disk(error):
            return failure_reason(error)
        root = self._place.store.root
        place = full_place(error, (root, Path(tempfile.gettempdir())))
        if is_on_disk_of(place, root):
            raise StoreError(f"no space is left in {place} for {subject}: {full_store(root)}") from error
        return f"no space is left in {place}: {disk_state(place)}; make room there and start again"

    def _fail(self, task: Task, reason: str, log: str) -> None:
        self._place.store.commit_failure(Failure(task.identity, task.kind, reason, log, self._place.environment))
        self._place.tell(Failed(self._place.setup.worker, task.kind, task.identity, task_subject(task), reason))


def failure_reason(error: Exception) -> str:
    """A failure in one sentence."""
    found = re.search(r"(\S+) does not have a deterministic implementation", str(error))
    if found is not None and not isinstance(error, SftlabError):
        return f"{found[1]} has no deterministic kernel on this device, as `--deterministic` asks for: run without it"
    what = str(error) if isinstance(error, SftlabError) else f"{type(error).__name__}: {error}"
    return what.strip().partition("\n")[0]


def task_subject(task: Task) -> str:
    """What a task is about, for people: a run, a benchmark, a dataset."""
    if isinstance(task.cell, RunCell):
        return task.cell.spec.run
    if isinstance(task.cell, MeasureCell):
        beside = task.cell.benchmark
        what = f"{task.cell.measure} of {task.cell.dataset}"
        return f"{what} under {task.cell.base}" if beside is None else f"{what} and {beside.name}"
    what = task.cell.measure if isinstance(task.cell, ProbeCell) else task.cell.benchmark.name
    return f"{what} of {task.cell.run or task.cell.base} epoch {task.cell.epoch}"

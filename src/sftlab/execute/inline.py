"""This process as the only worker: for debugging and for tests."""

from collections.abc import Callable

from sftlab.execute.event import Event
from sftlab.execute.worker import Worker
from sftlab.execute.workplace import Manner, Setup
from sftlab.plan.devices import Device
from sftlab.plan.resolve import Resolved
from sftlab.plan.tasks import Job
from sftlab.store import Store


class InlineExecutor:
    """Runs jobs one after another right here."""

    def __init__(self, resolved: Resolved, store: Store, devices: tuple[Device, ...], *, manner: Manner) -> None:
        self._setup = Setup(resolved, store.root, devices[0], 0, manner)

    def run(
        self, jobs: tuple[Job, ...], listen: Callable[[Event | None], None], more: Callable[[], tuple[Job, ...]]
    ) -> None:
        """Do all jobs, then those that there are more of, telling the listener every event."""
        worker = Worker(self._setup, listen)
        try:
            while jobs:
                for job in jobs:
                    worker.do(job)
                jobs = more()
        finally:
            worker.leave()

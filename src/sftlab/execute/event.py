"""What workers tell while they work."""

from dataclasses import dataclass

from sftlab.store import Kind


@dataclass(frozen=True)
class Started:
    """A worker began a task."""

    worker: int
    job: str
    kind: Kind
    subject: str


@dataclass(frozen=True)
class Moved:
    """A worker got on with its task: share done, and tokens processed since its last word."""

    worker: int
    share: float
    tokens: int


@dataclass(frozen=True)
class Preparing:
    """A worker gets ready what its task needs, which may take a while; empty once it is."""

    worker: int
    what: str


@dataclass(frozen=True)
class Finished:
    """A record is in the store."""

    worker: int
    kind: Kind
    identity: str
    subject: str
    wall_seconds: float


@dataclass(frozen=True)
class Failed:
    """A task gave no result; the reason is in the store."""

    worker: int
    kind: Kind
    identity: str
    subject: str
    reason: str


@dataclass(frozen=True)
class Idle:
    """A worker is through with its job and waits for the next."""

    worker: int


Event = Started | Moved | Preparing | Finished | Failed | Idle

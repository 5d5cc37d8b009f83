"""Out of memory is an event, not an end: batches are halved until they fit."""

import gc
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol, Self, TypeVar

import torch

from sftlab.errors import ModelError


class Batch(Protocol):
    """Work that is done in one forward pass and can be done in two."""

    @property
    def num_tokens(self) -> int:
        """What it costs, in padded tokens."""
        ...

    def halves(self) -> tuple[Self, ...]:
        """The same work in two parts; empty where there is only one row."""
        ...


B = TypeVar("B", bound=Batch)


@dataclass(eq=False)
class Shortage:
    """What came of memory running out: how often, and which requests (by place) do not fit alone, with their tokens."""

    times: int = 0
    unfit: dict[int, int] = field(default_factory=dict)


def run_within_memory(
    batches: Iterable[B], run: Callable[[B], None], *, leave_out: Callable[[B], None] | None = None
) -> int:
    """Run every batch, in order, and in halves where memory runs out, as are then all of more than half that size.

    `run` leaves nothing behind when it fails. A single row that does not fit, tried again after memory was freed, is
    given to `leave_out`; without it that raises ModelError. Returns how often memory ran out.
    """
    pending = list(batches)[::-1]
    most = max((batch.num_tokens for batch in pending), default=0)
    failures = 0
    while pending:
        batch = pending.pop()
        parts = batch.halves() if batch.num_tokens > most else ()
        if not parts and not _fits(run, batch):
            failures += 1
            free_memory()
            parts, most = batch.halves(), max(1, batch.num_tokens // 2)
            if not parts and not _fits(run, batch):
                _leave_out(batch, leave_out)
        pending.extend(parts[::-1])
    return failures


def _leave_out(batch: B, leave_out: Callable[[B], None] | None) -> None:
    free_memory()
    if leave_out is None:
        raise ModelError(f"out of memory with a single row of {batch.num_tokens} tokens: use a device with more memory")
    leave_out(batch)


def _fits(run: Callable[[B], None], batch: B) -> bool:
    try:
        run(batch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a device or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("not enough memory" in text or "can't allocate memory" in text)


def free_memory() -> None:
    """Let go of what no value holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

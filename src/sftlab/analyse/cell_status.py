"""Whether a cell's result is there, and if not, why not."""

from dataclasses import dataclass
from typing import Literal

from sftlab.store import Store
from sftlab.study.cells import ProbeCell, RunCell, ScoreCell

Status = Literal["done", "failed", "unfit", "pending"]


@dataclass(frozen=True)
class CellStatus:
    """Status of one cell, with one sentence of reason where there is something to say."""

    status: Status
    reason: str | None = None


def cell_status(identity: str, store: Store) -> CellStatus:
    """Status of a run, score or measure, from its record or its last failure."""
    record = store.record(identity)
    if record is not None:
        if record.result.get("status") == "unfit":
            return CellStatus("unfit", _text(record.result.get("reason")) or "nothing fits")
        return CellStatus("done", _text(record.result.get("reason")))
    failure = store.failure(identity)
    if failure is not None:
        return CellStatus("failed", failure.reason)
    return CellStatus("pending")


def model_status(cell: ScoreCell | ProbeCell, run: RunCell | None, store: Store) -> CellStatus:
    """Status of a score or measure of a checkpoint.

    One that is missing because its run is, or waits for a choice, says so.
    """
    own = CellStatus("pending") if cell.waits else cell_status(cell.identity, store)
    if own.status != "pending":
        return own
    training = CellStatus("done") if run is None else cell_status(run.identity, store)
    if training.status == "failed":
        return CellStatus("failed", f"not trained: {training.reason}")
    if cell.waits:
        return CellStatus("pending", "what is scored is chosen by validation loss, when all of it is trained")
    if training.status == "pending":
        return CellStatus("pending", "not trained yet")
    return CellStatus("pending", "not scored yet" if isinstance(cell, ScoreCell) else "not measured yet")


def _text(value: object) -> str | None:
    return str(value) if value else None

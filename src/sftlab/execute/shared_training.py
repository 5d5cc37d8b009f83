"""Runs that are beginnings of longer ones: their records are cut from those, and nothing is trained twice."""

from collections.abc import Mapping
from typing import cast

import polars as pl

from sftlab.plan.tasks import longest_records
from sftlab.store import Record, Store
from sftlab.study.cells import RunCell

RAW_TABLES = ("losses", "validation", "layers", "checkpoints")


def longer_record(cell: RunCell, store: Store) -> Record | None:
    """The record of a longer run on the same trajectory, if the store holds one; the longest of them."""
    found = longest_records(store).get(cell.trajectory)
    return found if found is not None and cast("int", found.spec["epochs"]) > cell.spec.epochs else None


def cut_record(cell: RunCell, longer: Record, store: Store, facts: Mapping[str, object]) -> Record:
    """The record that a run would have left, out of the record of a longer run on its trajectory.

    Rows of later epochs are left out and counts, losses and seconds recomputed; what is said of the examples and of
    memory is that of the longer run. `provenance` says what it was cut from.
    """
    assert cell.trajectory == longer.spec["trajectory"], "the runs do not share their beginning"
    rows = {name: _until(store.rows(longer.identity, name), cell.spec.epochs) for name in RAW_TABLES}
    losses = rows["losses"]
    seconds_by_epoch = cast("list[float]", longer.result["seconds_by_epoch"])[: cell.spec.epochs]
    result = {
        **longer.result,
        "steps": losses.height,
        "tokens": int(losses["tokens"].sum()),
        "learned_tokens": int(losses["learned_tokens"].sum()),
        "loss_last": losses["loss"][-1],
        "seconds_by_epoch": seconds_by_epoch,
        "wall_seconds": seconds_by_epoch[-1],
    }
    provenance = {**longer.provenance, "wall_seconds": seconds_by_epoch[-1], "cut_from": longer.identity}
    return Record(cell.identity, "train", facts, result, rows, provenance)


def _until(rows: pl.DataFrame | None, epoch: int) -> pl.DataFrame:
    assert rows is not None, "a finished run has all raw tables"
    return rows.filter(pl.col("epoch") <= epoch)

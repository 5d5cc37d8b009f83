"""Training curves of a study as numbers by step, for trackers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from sftlab.analyse.run_tables import losses_table, recipe_columns, validation_table
from sftlab.store import Store
from sftlab.study.cells import Cells

BY_STEP = {"loss": "train/loss", "learning_rate": "train/learning_rate", "grad_norm": "train/grad_norm"}
BY_EPOCH = {"loss": "validation/loss", "bits_per_byte": "validation/bits_per_byte"}


@dataclass(frozen=True)
class Point:
    """What was measured after an optimizer step: values by the names that trackers show; step 0 is the base."""

    step: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Curves:
    """One run: its name, the recipe as plain values, and its points by step."""

    run: str
    identity: str
    recipe: Mapping[str, str | int | float]
    points: tuple[Point, ...]


def study_curves(cells: Cells, store: Store) -> Iterator[Curves]:
    """The curves of every finished run; validation stands at the last step of its epoch, unknown values nowhere."""
    losses = losses_table(cells, store).partition_by("run", as_dict=True)
    validation = validation_table(cells, store).partition_by("run", as_dict=True)
    for cell in cells.runs:
        by_step = losses.get((cell.spec.run,))
        if by_step is None:
            continue
        recipe = {
            name: value for name, value in recipe_columns(cell.spec).items() if isinstance(value, str | int | float)
        }
        points = _points(by_step, validation.get((cell.spec.run,)))
        yield Curves(cell.spec.run, cell.identity, recipe, points)


def _points(by_step: pl.DataFrame, by_epoch: pl.DataFrame | None) -> tuple[Point, ...]:
    found: dict[int, dict[str, float]] = {}
    for row in by_step.iter_rows(named=True):
        found.setdefault(row["step"], {}).update(_known(row, BY_STEP))
    if by_epoch is not None:
        ends = dict(by_step.group_by("epoch").agg(pl.col("step").max()).iter_rows())
        for row in by_epoch.iter_rows(named=True):
            step = 0 if row["epoch"] == 0 else ends.get(row["epoch"])
            if step is not None:
                found.setdefault(step, {}).update(_known(row, BY_EPOCH))
    return tuple(Point(step, found[step]) for step in sorted(found) if found[step])


def _known(row: Mapping[str, float | None], names: Mapping[str, str]) -> dict[str, float]:
    return {shown: value for name, shown in names.items() if (value := row.get(name)) is not None}

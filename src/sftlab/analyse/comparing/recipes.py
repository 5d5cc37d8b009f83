"""What two recipes differ in, field by field."""

from collections.abc import Iterator, Mapping
from typing import cast

import polars as pl

RECIPE_COLUMNS = (
    "base",
    "family",
    "dataset",
    "samples",
    "method",
    "adapter",
    "learning_rate",
    "batch_size",
    "schedule",
    "epochs",
    "fixed_steps",
    "seed",
    "order_seed",
    "init_seed",
    "precision",
    "reduction",
    "weight_decay",
    "decay",
)
SAID_BY_COLUMNS = {
    "learning_rate",
    "batch_size",
    "schedule",
    "epochs",
    "steps",
    "samples",
    "seeds",
    "precision",
    "adapter",
    "weight_decay",
    "decay",
    "reduction",
}
"""Fields of a declared recipe that a column of the table `runs` says in its own words."""


def recipe(run: str, runs: pl.DataFrame, declared: Mapping[str, object] | None = None) -> dict[str, object]:
    """The recipe of a run, by field: columns of the table `runs`, and what its declaration says beyond them.

    Nested fields (`method.rank`) are named by their path.
    """
    row = runs.row(by_predicate=pl.col("run") == run, named=True)
    beyond = {
        name: value
        for name, value in _flat(declared or {})
        if not {*name.split(".")[:1], name.rpartition(".")[2]} & SAID_BY_COLUMNS
    }
    return {name: row[name] for name in RECIPE_COLUMNS} | beyond


def _flat(fields: Mapping[str, object], path: str = "") -> Iterator[tuple[str, object]]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flat(cast("Mapping[str, object]", value), f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def recipe_difference(a: Mapping[str, object], b: Mapping[str, object]) -> dict[str, tuple[object, object]]:
    """Fields in which two recipes differ, with both values; a field that one of them does not have is None there."""
    names = dict.fromkeys([*a, *b])
    return {name: (a.get(name), b.get(name)) for name in names if a.get(name) != b.get(name)}

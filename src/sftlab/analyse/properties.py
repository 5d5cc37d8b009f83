"""Which property of the data goes with the gain: correlations over family x dataset cells."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import polars as pl

from sftlab.analyse.frames import framed
from sftlab.analyse.gain_sets import GainSet, codes
from sftlab.analyse.intervals import Estimate, Labels, Reals, correlation, correlation_p
from sftlab.analyse.verdicts import Row, adjust
from sftlab.study.cells import Cells

Sources = Mapping[str, frozenset[str]]
"""The datasets that each dataset or mixture is made of; a name that is not in it stands for itself."""

NO_MIXTURES: Sources = MappingProxyType({})
"""All datasets stand for themselves."""

WITHIN, ACROSS = "within", "across"


def sources_of(cells: Cells) -> Sources:
    """What every dataset and mixture of a study is made of."""
    return {cell.spec.dataset: frozenset(part.dataset for part in cell.spec.parts) for cell in cells.runs}


def independent_datasets(names: Iterable[str], sources: Sources = NO_MIXTURES) -> int:
    """How many datasets vary freely: never more than those that all are made of.

    Properties and gains of a mixture lie between those of its parts: three datasets and their mixtures are three units.
    """
    distinct = frozenset(names)
    return min(len(distinct), len(frozenset[str]().union(*(sources.get(name, {name}) for name in distinct))))


def dataset_units(names: Iterable[str], sources: Sources) -> dict[str, str]:
    """Which independent unit each dataset counts as in a mean over datasets; what is not in it is left out.

    The mean of the parts holds all that the mean over them and their mixtures says of datasets like these, and counting
    both narrows the interval. So mixtures with a part that stands there alone are left out, and those of the rest that
    share a part count as one unit, named by the first of them.
    """
    made_of = {name: sources.get(name, frozenset({name})) for name in names}
    alone = frozenset[str]().union(*(parts for parts in made_of.values() if len(parts) == 1))
    units: dict[str, str] = {}
    for name, parts in made_of.items():
        if len(parts) > 1 and parts & alone:
            continue
        met = list(dict.fromkeys(unit for other, unit in units.items() if made_of[other] & parts)) or [name]
        units = {other: met[0] if unit in met else unit for other, unit in units.items()} | {name: met[0]}
    return units


def in_units(points: pl.DataFrame, sources: Sources) -> pl.DataFrame:
    """Rows whose `dataset` counts in a mean over datasets, under the name of its unit (see `dataset_units`)."""
    units = dataset_units(points["dataset"].unique(maintain_order=True).to_list(), sources)
    kept = points.filter(pl.col("dataset").is_in(list(units)))
    return kept.with_columns(pl.col("dataset").replace_strict(units, return_dtype=pl.String))


def property_points(sets: Sequence[GainSet], data: pl.DataFrame) -> pl.DataFrame:
    """Frame `property_points`: gain and every property of each base x dataset cell (means over recipes and seeds).

    A property that belongs to a benchmark stands beside the gain on that benchmark alone.
    """
    values = property_values(data)
    rows: list[Row] = []
    for gain_set in sets:
        gains = cell_gains(gain_set)
        of_this = values.filter(pl.col("beside").is_null() | (pl.col("beside") == gain_set.key[0])).drop("beside")
        for row in gains.join(of_this, on=["base", "dataset"], maintain_order="left").iter_rows(named=True):
            rows.append({**gain_set.metric_columns, **row})
    return framed("property_points", rows)


def property_values(data: pl.DataFrame) -> pl.DataFrame:
    """Mean of every measured property of each base and dataset over samples and seeds (of the table `data`).

    `beside` is the benchmark that the property belongs to, null where it belongs to none.
    """
    if "benchmark" not in data.columns:
        data = data.with_columns(benchmark=pl.lit(None, dtype=pl.String))
    return (
        data.filter(pl.col("value").is_not_null())
        .group_by("base", "dataset", "property", pl.col("benchmark").alias("beside"), maintain_order=True)
        .agg(pl.col("value").mean())
    )


def cell_gains(gain_set: GainSet) -> pl.DataFrame:
    """Gain of every base x dataset cell: base, family, dataset, gain (the mean over recipes of means over seeds)."""
    cell_R = codes(gain_set.rows, "base", "dataset")
    firsts = [int(np.flatnonzero(cell_R == cell)[0]) for cell in np.unique(cell_R)]
    gains = [float(gain_set.weights(cell_R == cell_R[first]) @ gain_set.gains) for first in firsts]
    names = gain_set.rows.select("base", "family", "dataset")[firsts]
    return names.with_columns(pl.Series("gain", gains, dtype=pl.Float64))


def properties_frame(points: pl.DataFrame, sources: Sources = NO_MIXTURES) -> pl.DataFrame:
    """Frame `properties`: correlation of each property with the gain on each benchmark.

    Points are the means of family x dataset cells. `within`: both are centred by family, so that only differences
    between datasets count, and the interval has as many units as there are datasets (see `independent_datasets`): cells
    of one dataset are alike. `across`: raw, with the smaller of the numbers of families and datasets (of datasets where
    there is one family). Intervals are Fisher's z; p-values are adjusted (Benjamini & Hochberg) over properties and
    benchmarks, separately for each scope and kind and for main and other metrics.
    """
    rows: list[Row] = []
    for part, of_part in points.partition_by(
        "benchmark", "scorer", "metric", "main", "unit", "property", as_dict=True, maintain_order=True
    ).items():
        names = dict(zip(("benchmark", "scorer", "metric", "main", "unit", "property"), part, strict=True))
        rows.extend({**names, **row} for row in _correlations(family_cells(of_part, "value", "gain"), sources))
    for scope in (WITHIN, ACROSS):
        for kind in ("pearson", "spearman"):
            for main in (True, False):
                adjust([row for row in rows if (row["scope"], row["kind"], row["main"]) == (scope, kind, main)])
    return framed("properties", rows)


def family_cells(points: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """Means of family x dataset cells; where all bases are of one family, of base x dataset cells (as `family`)."""
    if points["family"].n_unique() < 2:
        points = points.with_columns(family=pl.col("base"))
    return points.group_by("family", "dataset", maintain_order=True).agg(pl.col(column).mean() for column in columns)


def _correlations(cells: pl.DataFrame, sources: Sources) -> Iterator[Row]:
    families, names = cells["family"].n_unique(), independent_datasets(cells["dataset"], sources)
    within = correlated_within(cells["value"].to_numpy(), cells["gain"].to_numpy(), cells)
    yield from _kinds(WITHIN, *within, units=names)
    units = min(families, names) if families > 1 else names
    yield from _kinds(ACROSS, cells["value"].to_numpy(), cells["gain"].to_numpy(), units=units)


def _kinds(scope: str, x_N: Reals, y_N: Reals, *, units: int) -> Iterator[Row]:
    for kind in ("pearson", "spearman"):
        ranked = kind == "spearman"
        yield {
            "scope": scope,
            "kind": kind,
            "cells": len(x_N),
            **correlation_columns(correlation(x_N, y_N, n=units, ranked=ranked), units, ranked=ranked),
        }


def correlation_columns(estimate: Estimate | None, units: int, *, ranked: bool = False) -> Row:
    """A correlation as columns; null where a variable does not vary."""
    if estimate is None:
        return {"correlation": None, "n": units, "p": None}
    interval = {"ci_low": estimate.ci_low, "ci_high": estimate.ci_high, "n": units}
    return {"correlation": estimate.value, **interval, "p": correlation_p(estimate, ranked=ranked)}


def correlated_within(x_N: Reals, y_N: Reals, cells: pl.DataFrame) -> tuple[Reals, Reals]:
    """Both variables centred by family."""
    family_N = codes(cells, "family")
    return _centred(x_N, family_N), _centred(y_N, family_N)


def _centred(value_N: Reals, group_N: Labels) -> Reals:
    means = np.bincount(group_N, weights=value_N) / np.bincount(group_N)
    centred_N = value_N - means[group_N]
    centred_N[np.abs(centred_N) <= 1e-12 * np.abs(value_N).max(initial=0.0)] = 0.0
    return centred_N

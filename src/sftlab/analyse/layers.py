"""Where the weights moved, by depth, and at which depth the change goes with the gain.

Axes: R runs, D depths. Depth is 0 at the first layer and 1 at the last.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftlab.analyse.frames import framed
from sftlab.analyse.gain_sets import FACTORS, GainSet, codes
from sftlab.analyse.intervals import Estimate, Reals, correlation, not_negative, two_way_mean
from sftlab.analyse.properties import (
    NO_MIXTURES,
    Sources,
    correlated_within,
    correlation_columns,
    family_cells,
    in_units,
    independent_datasets,
)
from sftlab.analyse.ranking import ends
from sftlab.analyse.verdicts import Row, adjust

WHOLE_LAYER = "all"


@dataclass(frozen=True, eq=False)
class Profile:
    """Relative change by depth of all runs of one method and part; `rows` names base, family, dataset of each run."""

    method: str
    part: str
    depths: tuple[float | None, ...]
    rows: pl.DataFrame
    change: Reals

    def cell_means(self, sources: Sources | None = None) -> tuple[pl.DataFrame, Reals]:
        """Names of the family x dataset cells and their mean change at each depth.

        With `sources`, datasets are those that count in a mean over them (see `dataset_units`).
        """
        names = [f"depth_{place}" for place in range(len(self.depths))]
        with_change = pl.concat([self.rows, pl.DataFrame(self.change, schema=names)], how="horizontal")
        recipe = with_change.group_by("base", "family", "dataset", *FACTORS, maintain_order=True).agg(
            pl.col(names).mean()
        )
        of_base = recipe.group_by("base", "family", "dataset", maintain_order=True).agg(pl.col(names).mean())
        cells = family_cells(of_base if sources is None else in_units(of_base, sources), *names)
        return cells.select("family", "dataset"), cells.select(names).to_numpy().astype(np.float64)


def profiles(layers: pl.DataFrame, runs: pl.DataFrame) -> list[Profile]:
    """Changes of chosen runs after the epoch that is scored, by method and part, on depths that all bases share.

    Where bases differ in their number of layers, curves are interpolated linearly to the depths of the base with the
    fewest. Parts without a depth (embedding, head) have one place, None.
    """
    names = runs.filter(pl.col("chosen").fill_null(value=True)).select(
        "run", "base", "family", "dataset", *FACTORS, pl.col("scored_epoch").alias("epoch")
    )
    used = layers.filter(pl.col("relative_change").is_not_null()).join(
        names, on=["run", "epoch"], maintain_order="left"
    )
    found: list[Profile] = []
    for part, rows in used.partition_by("method", "part", as_dict=True, maintain_order=True).items():
        for is_deep in (True, False):
            of_kind = rows.filter(pl.col("depth").is_not_null() == is_deep)
            if not of_kind.is_empty():
                found.append(_profile(str(part[0]), str(part[1]), of_kind, is_deep))
    return found


def _profile(method: str, part: str, rows: pl.DataFrame, is_deep: bool) -> Profile:
    by_run = rows.sort("depth", maintain_order=True).partition_by("run", maintain_order=True)
    names = pl.concat([run.select("run", "base", "family", "dataset", *FACTORS).head(1) for run in by_run])
    changes = [run["relative_change"].to_numpy() for run in by_run]
    if not is_deep:
        return Profile(method, part, (None,), names, np.array([[change.mean()] for change in changes]))
    curves = [run["depth"].to_numpy() for run in by_run]
    depth_D = min(curves, key=len)
    change_RD = np.array([np.interp(depth_D, at, change) for at, change in zip(curves, changes, strict=True)])
    return Profile(method, part, tuple(float(depth) for depth in depth_D), names, change_RD)


def layer_change_frame(found: Sequence[Profile], sources: Sources = NO_MIXTURES) -> pl.DataFrame:
    """Frame `layer_change`: mean over family x dataset cells, interval over families and datasets (`two_way_mean`).

    Mixtures of datasets that were tried alone are left out (see `dataset_units`).
    `near_peak` marks the depths whose change cannot be told from the largest, paired by cell: a confidence set of where
    the weights move most. It is null where there are too few cells to tell.
    """
    rows: list[Row] = []
    for profile in found:
        cells, change_CD = profile.cell_means(sources)
        estimates = [_over_cells(change_CD[:, place], cells) for place in range(len(profile.depths))]
        peak = max(range(len(estimates)), key=lambda place: estimates[place].value)
        for place, (depth, estimate) in enumerate(zip(profile.depths, estimates, strict=True)):
            behind = _over_cells(change_CD[:, peak] - change_CD[:, place], cells)
            near = None if depth is None or behind.ci_low is None else behind.ci_low <= 0
            names: Row = {"method": profile.method, "part": profile.part, "depth": depth}
            values = {"relative_change": estimate.value, **ends(not_negative(estimate)), "near_peak": near}
            rows.append({**names, **values, "n": cells["family"].n_unique(), "cells": cells.height})
    return framed("layer_change", rows)


def _over_cells(value_C: Reals, cells: pl.DataFrame) -> Estimate:
    return two_way_mean(value_C, codes(cells, "family"), codes(cells, "dataset"))


def layer_correlations_frame(
    found: Sequence[Profile], sets: Sequence[GainSet], sources: Sources = NO_MIXTURES
) -> pl.DataFrame:
    """Frame `layer_correlations`: change at a depth against gain, over family x dataset cells centred by family.

    With and without dividing each run's change by its mean over layers, which leaves the shape of the change without
    its size. Intervals are Fisher's z with as many units as there are datasets; p-values are adjusted (Benjamini &
    Hochberg) over all depths, methods and benchmarks. `near_peak` marks depths whose interval holds the strongest
    correlation. Main metrics only.
    """
    rows: list[Row] = []
    for profile in found:
        if profile.part != WHOLE_LAYER or profile.depths[0] is None:
            continue
        for divided in (False, True):
            shown = _divided(profile) if divided else profile
            for gain_set in sets:
                if gain_set.main:
                    rows.extend({**row, "divided_by_total": divided} for row in _by_depth(shown, gain_set, sources))
    for divided in (False, True):
        adjust([row for row in rows if row["divided_by_total"] == divided])
    return framed("layer_correlations", rows)


def _divided(profile: Profile) -> Profile:
    total_R: NDArray[np.float64] = profile.change.mean(axis=1)
    moved = total_R > 0
    change_RD = profile.change[moved] / total_R[moved, None]
    return Profile(profile.method, profile.part, profile.depths, profile.rows.filter(moved), change_RD)


def _by_depth(profile: Profile, gain_set: GainSet, sources: Sources) -> list[Row]:
    gains = gain_set.rows.select("run", "gain")
    places = profile.rows.with_row_index("place").join(gains, on="run", maintain_order="left")
    if places.is_empty():
        return []
    names = profile.rows[places["place"].to_list()]
    change_RD = profile.change[places["place"].to_numpy()]
    with_gain = np.column_stack([change_RD, places["gain"].to_numpy()])
    cells, value_CD = Profile(profile.method, profile.part, (*profile.depths, None), names, with_gain).cell_means()
    units = independent_datasets(cells["dataset"], sources)
    estimates = [
        correlation(*correlated_within(value_CD[:, place], value_CD[:, -1], cells), n=units)
        for place in range(len(profile.depths))
    ]
    peak = max((estimate.value for estimate in estimates if estimate is not None), key=abs, default=None)
    return [
        {
            **gain_set.metric_columns,
            "method": profile.method,
            "depth": depth,
            "cells": cells.height,
            **correlation_columns(estimate, units),
            "near_peak": _holds(estimate, peak),
        }
        for depth, estimate in zip(profile.depths, estimates, strict=True)
    ]


def _holds(estimate: Estimate | None, value: float | None) -> bool | None:
    if estimate is None or value is None or estimate.ci_low is None or estimate.ci_high is None:
        return None
    return estimate.ci_low <= value <= estimate.ci_high

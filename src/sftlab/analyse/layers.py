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
from sftlab.analyse.intervals import Estimate, Labels, Reals, correlation, not_negative, two_way_mean
from sftlab.analyse.largest import FEWEST_UNITS, may_be_largest, surely_behind
from sftlab.analyse.properties import (
    NO_MIXTURES,
    Sources,
    correlated_within,
    correlation_columns,
    dataset_units,
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
    `near_peak` marks the depths whose change cannot be told from the largest, paired by cell and corrected for the
    number of other depths (Bonferroni): a 95 % confidence set of where the weights move most. It is null where there
    are too few cells to tell.
    """
    rows: list[Row] = []
    for profile in found:
        cells, change_CD = profile.cell_means(sources)
        estimates = [_over_cells(change_CD[:, place], cells) for place in range(len(profile.depths))]
        peak = max(range(len(estimates)), key=lambda place: estimates[place].value)
        for place, (depth, estimate) in enumerate(zip(profile.depths, estimates, strict=True)):
            behind = _over_cells(change_CD[:, peak] - change_CD[:, place], cells)
            is_behind = None if depth is None else surely_behind(behind, len(estimates) - 1)
            near = None if is_behind is None else not is_behind
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
    Hochberg) over all depths, methods and benchmarks. `near_peak` is the 95 % confidence set of the depth whose
    correlation is the largest in size, by leaving one dataset out at a time (`may_be_largest`, on Fisher's z); null for
    fewer than five datasets. Main metrics only.
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
    near_D = _near_strongest(value_CD, cells, sources)
    return [
        {
            **gain_set.metric_columns,
            "method": profile.method,
            "depth": depth,
            "cells": cells.height,
            **correlation_columns(estimate, units),
            "near_peak": None if estimate is None else near,
        }
        for depth, estimate, near in zip(profile.depths, estimates, near_D, strict=True)
    ]


def _near_strongest(value_CD: Reals, cells: pl.DataFrame, sources: Sources) -> Sequence[bool | None]:
    """Whether each depth (a column; the last is the gain) may be the one whose change goes most with the gain.

    A dataset is left out with all cells that hold a part of it.
    """
    made_of = [sources.get(name, frozenset({name})) for name in cells["dataset"]]
    units = list(dataset_units(cells["dataset"].unique(maintain_order=True).to_list(), sources))
    if len(units) < FEWEST_UNITS:
        return [None] * (value_CD.shape[1] - 1)
    family_C = codes(cells, "family")
    full_D = _within(value_CD, family_C)
    without_UD = []
    for unit in units:
        rest = [not parts & sources.get(unit, frozenset({unit})) for parts in made_of]
        without_UD.append(_z(_within(value_CD[rest], family_C[rest]) * np.where(full_D >= 0, 1.0, -1.0)))
    return may_be_largest(_z(np.abs(full_D)), np.array(without_UD))


def _within(value_CD: Reals, family_C: Labels) -> Reals:
    """Correlation of every column but the last with the last, centred by family; 0 where nothing varies."""
    _, place_C, count_F = np.unique(family_C, return_inverse=True, return_counts=True)
    total_FD = np.zeros((len(count_F), value_CD.shape[1]))
    np.add.at(total_FD, place_C, value_CD)
    centred_CD = value_CD - (total_FD / count_F[:, None])[place_C]
    centred_CD[np.abs(centred_CD) <= 1e-12 * np.abs(value_CD).max(axis=0, initial=0.0)] = 0.0
    norm_D = np.linalg.norm(centred_CD, axis=0)
    unit_CD = np.divide(centred_CD, norm_D, out=np.zeros_like(centred_CD), where=norm_D > 0)
    found_D: Reals = unit_CD[:, :-1].T @ unit_CD[:, -1]
    return found_D


def _z(correlation_D: Reals) -> Reals:
    found_D: Reals = np.arctanh(np.clip(correlation_D, -0.999999, 0.999999))
    return found_D

"""What the training choices cost: LoRA against full, sizes, schedules, epochs, rates, all else equal."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import polars as pl

from sftlab.analyse.frames import framed
from sftlab.analyse.gain_sets import FACTORS, GainSet, codes
from sftlab.analyse.intervals import Labels, Reals, two_way_mean
from sftlab.analyse.power import add_smallest_effects
from sftlab.analyse.properties import NO_MIXTURES, Sources, family_cells, in_units
from sftlab.analyse.ranking import ends
from sftlab.analyse.verdicts import Row, adjust


def training_frames(sets: Sequence[GainSet], sources: Sources = NO_MIXTURES) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Frames `training` and `training_points`: level minus other of every factor that the study varies.

    Runs are paired that share base, dataset and all other factors (seeds are averaged). The difference is the mean over
    family x dataset cells; its interval is over families and datasets (`two_way_mean`), plus the choice of items.
    Mixtures of datasets that were tried alone are left out (see `dataset_units`). A single cell has the interval over
    items and seeds, of that base and dataset. p-values are adjusted (Benjamini & Hochberg) over all comparisons,
    separately for main and other metrics.
    """
    rows: list[Row] = []
    points: list[Row] = []
    for gain_set in sets:
        for factor in FACTORS:
            for level, other in _level_pairs(gain_set.rows[factor]):
                paired = _paired(gain_set, factor, level, other)
                if paired.is_empty():
                    continue
                names = {**gain_set.metric_columns, "factor": factor, "level": _text(level), "other": _text(other)}
                rows.append({**names, **_difference(gain_set, in_units(paired, sources))})
                of_base = paired.group_by("base", "family", "dataset", maintain_order=True).agg(
                    pl.col("gain", "other_gain").mean()
                )
                points.extend({**names, **row} for row in of_base.iter_rows(named=True))
    for main in (True, False):
        asked = [row for row in rows if row["main"] == main]
        adjust(asked, "difference")
        add_smallest_effects(asked)
    return framed("training", rows), framed("training_points", points)


def _level_pairs(values: pl.Series) -> list[tuple[object, object]]:
    """(later, earlier) level: larger first where levels are numbers, else in the order of the study."""
    levels = values.drop_nulls().unique(maintain_order=True)
    ordered = levels.sort().to_list() if levels.dtype.is_numeric() else levels.to_list()
    return [(second, first) for first, second in combinations(ordered, 2)]


def _text(level: object) -> str:
    return f"{level:g}" if isinstance(level, float) else str(level)


def _paired(gain_set: GainSet, factor: str, level: object, other: object) -> pl.DataFrame:
    """Blocks that have both levels: base, family, dataset, gain, other_gain, and the places of the runs behind them.

    Between methods learning rate and batch size are not held equal: those that suit one do not suit another.
    """
    free = {factor, "learning_rate", "batch_size"} if factor == "method" else {factor}
    block = ["base", "family", "dataset", *(name for name in FACTORS if name not in free)]
    rows = gain_set.rows.select(*dict.fromkeys([*block, factor]), "gain").with_row_index("place")

    def side(value: object, gain: str, places: str) -> pl.DataFrame:
        of_level = rows.filter(pl.col(factor) == value)
        return of_level.group_by(block, maintain_order=True).agg(
            pl.col("gain").mean().alias(gain), pl.col("place").alias(places)
        )

    return side(level, "gain", "places").join(
        side(other, "other_gain", "other_places"), on=block, nulls_equal=True, maintain_order="left"
    )


def _difference(gain_set: GainSet, paired: pl.DataFrame) -> Row:
    differences = paired.with_columns(difference=pl.col("gain") - pl.col("other_gain"))
    of_base = differences.group_by("base", "family", "dataset", maintain_order=True).agg(pl.col("difference").mean())
    cells = family_cells(of_base, "difference")
    estimate = two_way_mean(cells["difference"].to_numpy(), codes(cells, "family"), codes(cells, "dataset"))
    weight_R = _weights(gain_set, paired)
    if estimate.se is None:
        within = gain_set.of_these_bases(weight_R)
        estimate = within if within.se is not None else estimate
    else:
        estimate = gain_set.with_items(estimate, weight_R)
    families = cells["family"].n_unique()
    return {
        "difference": estimate.value,
        **ends(estimate),
        "n": families if cells.height > 1 else estimate.n,
        "cells": cells.height,
        "p": estimate.p,
        "parts": estimate.parts,
    }


def _weights(gain_set: GainSet, paired: pl.DataFrame) -> Reals:
    """Weight of every run in the mean difference: cells weigh the same, then bases, blocks and seeds within each."""
    family = "family" if paired["family"].n_unique() > 1 else "base"
    cell_B = codes(paired, family, "dataset")
    base_B = codes(paired, "base", "dataset")
    share_B = 1.0 / len(np.unique(cell_B)) / _bases_in_cell(cell_B, base_B) / np.bincount(base_B)[base_B]
    weight_R = np.zeros(gain_set.rows.height)
    for share, plus, minus in zip(share_B, paired["places"], paired["other_places"], strict=True):
        weight_R[plus.to_numpy()] += share / len(plus)
        weight_R[minus.to_numpy()] -= share / len(minus)
    return weight_R


def _bases_in_cell(cell_B: Labels, base_B: Labels) -> Reals:
    return np.array([len(np.unique(base_B[cell_B == cell])) for cell in cell_B], dtype=np.float64)


def seed_noise_frame(sets: Sequence[GainSet]) -> pl.DataFrame:
    """Frame `seed_noise`: spread of gain between seeds of the same base, dataset and recipe; null without repeats."""
    rows: list[Row] = []
    for gain_set in sets:
        variance, df = gain_set.seed_variance
        rows.append({**gain_set.metric_columns, "sd": variance**0.5 if df else None, "df": df})
    return framed("seed_noise", rows)

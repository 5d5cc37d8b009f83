"""Level of a row plus effect of a dataset: the least-squares fit that simple predictors are made of.

Axes: R rows (bases, families, or what else has a level), D datasets, K benchmarks.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from sftlab.analyse.intervals import Reals

ROUNDS, SETTLED = 200, 1e-10
"""Alternating means go on until effects move by less than this share of the largest gain, or so many rounds."""


@dataclass(frozen=True, eq=False)
class Additive:
    """Least-squares levels (rows x K) and effects (D x K, mean 0 over those known); NaN where there is no gain."""

    level: Reals
    effect: Reals


def additive_fit(gain_RDK: Reals) -> Additive:
    """Row level plus dataset effect, benchmark by benchmark, over the known gains of any rows (bases or families)."""
    known_RDK = ~np.isnan(gain_RDK)
    filled_RDK = np.where(known_RDK, gain_RDK, 0.0)
    in_row_RK, in_column_DK = known_RDK.sum(axis=1), known_RDK.sum(axis=0)
    effect_DK = np.zeros(in_column_DK.shape)
    settled = SETTLED * float(np.abs(filled_RDK).max(initial=0.0))
    for _ in range(ROUNDS):
        level_RK = (filled_RDK - known_RDK * effect_DK).sum(axis=1) / np.maximum(in_row_RK, 1)
        before_DK = effect_DK
        effect_DK = (filled_RDK - known_RDK * level_RK[:, None]).sum(axis=0) / np.maximum(in_column_DK, 1)
        effect_DK = effect_DK - effect_DK.sum(axis=0) / np.maximum((in_column_DK > 0).sum(axis=0), 1)
        if float(np.abs(effect_DK - before_DK).max(initial=0.0)) <= settled:
            break
    level_RK = (filled_RDK - known_RDK * effect_DK).sum(axis=1) / np.maximum(in_row_RK, 1)
    return Additive(np.where(in_row_RK > 0, level_RK, np.nan), np.where(in_column_DK > 0, effect_DK, np.nan))


def mean_of_known(values: Reals) -> Reals:
    """Mean over the first axis of what is known; NaN where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(values, axis=0), dtype=np.float64)

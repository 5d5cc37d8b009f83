"""Predictions from an order of datasets within bases: their level and their interval.

Axes: B bases, F families, D datasets, K benchmarks.
"""

import math

import numpy as np
from scipy import special

from sftlab.analyse.intervals import CONFIDENCE
from sftlab.predict.additive import mean_of_known
from sftlab.predict.gain_table import GainTable, Reals
from sftlab.predict.predictor import Predicted


def family_means(table: GainTable, values: Reals) -> Reals:
    """Mean over the bases of each family, one vote each: values B x ..., result F x ...."""
    places = table.family_places
    return np.array([mean_of_known(values[places == place]) for place in range(table.num_families)])


def levelled(table: GainTable, order: Reals, *, new_level: Reals | None = None, slopes: int = 0) -> Predicted:
    """Predictions whose order of datasets within each base is `order` (B x D x K), with level and interval.

    The level of a base with known gains is the mean of what `order` leaves of them; that of a new base the mean over
    families of theirs, or `new_level` (B x K), which has so many `slopes`. Where `order` is NaN the predictor has no
    opinion, and 0 stands for it. The interval has up to four sources: what is left of single gains, the mean of those
    that a level is of, for a new base the spread of families' levels, and without an opinion the spread of those on
    other datasets; each has the Student's t of its own degrees of freedom (see `intervals.combined`).
    """
    offset = np.nan_to_num(order)
    rest = table.gain - offset
    level_BK = np.array([mean_of_known(rows) for rows in rest])
    known_BK = table.known.sum(axis=1)
    residual = rest - level_BK[:, None, :]
    rows_K = (known_BK > 0).sum(axis=0)
    df_K = known_BK.sum(axis=0) - rows_K
    square_K = np.nansum(residual**2, axis=(0, 1)) / np.where(df_K > 0, df_K, np.nan)
    own_half = _half(square_K * (1 + 1 / np.where(known_BK > 0, known_BK, np.nan)), df_K)
    family_FK = family_means(table, level_BK)
    families_K = (~np.isnan(family_FK)).sum(axis=0)
    centre_BK = np.broadcast_to(mean_of_known(family_FK), level_BK.shape) if new_level is None else new_level
    misses_FK = family_FK - family_means(table, centre_BK)
    family_df_K = families_K - 1 - slopes
    spread_K = np.nansum(misses_FK**2, axis=0) / np.where(family_df_K > 0, family_df_K, np.nan)
    between_K = _half(spread_K * (1 + 1 / np.maximum(families_K, 1)), family_df_K)
    new_half_K = np.hypot(between_K, _half(square_K, df_K))
    is_new_BK = known_BK == 0
    level = np.where(is_new_BK, centre_BK, level_BK)
    half_BK = np.where(is_new_BK, new_half_K, own_half)
    gain = level[:, None, :] + offset
    half = np.hypot(half_BK[:, None, :], np.where(np.isnan(order), _half_of_opinions(order), 0.0))
    return Predicted(gain, np.where(np.isnan(gain), np.nan, half))


def _half_of_opinions(order: Reals) -> Reals:
    """Half the width of an interval of an order that is not known, from those of other datasets (one a benchmark).

    0 where there are none at all: then datasets are not told apart, and what is left of gains holds their spread.
    """
    centred = order - np.array([mean_of_known(rows) for rows in order])[:, None, :]
    datasets_K = (~np.isnan(order)).any(axis=0).sum(axis=0)
    count_K = (~np.isnan(order)).sum(axis=(0, 1)) * (datasets_K - 1) / np.maximum(datasets_K, 1)
    square_K = np.nansum(centred**2, axis=(0, 1)) / np.where(count_K > 0, count_K, np.nan)
    half_K = _half(square_K * (1 + 1 / np.maximum(datasets_K, 1)), datasets_K - 1)
    return np.where(datasets_K > 0, half_K, 0.0)


def _half(variance: Reals, df: Reals) -> Reals:
    """Half the width of a 95 % interval; NaN without degrees of freedom."""
    tail = (1 - CONFIDENCE) / 2
    quantile = -special.stdtrit(np.where(df > 0, df, np.nan), tail)
    return np.asarray(np.sqrt(variance) * quantile, dtype=np.float64)


def slope_within(table: GainTable, value: Reals) -> Reals:
    """Slope of gain on a property over base x dataset cells, both centred by base: one a benchmark, NaN where none."""
    both = table.known & ~np.isnan(value)
    x, y = (np.where(both, array, np.nan) for array in (value, table.gain))
    x, y = (array - np.array([mean_of_known(rows) for rows in array])[:, None, :] for array in (x, y))
    square_K = np.nansum(x**2, axis=(0, 1))
    return np.asarray(np.nansum(x * y, axis=(0, 1)) / np.where(square_K > math.ulp(1.0), square_K, np.nan))

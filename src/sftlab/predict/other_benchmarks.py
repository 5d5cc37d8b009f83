"""What the other benchmarks say of how much a dataset helps on one: datasets that teach one skill teach its kin.

Axes: D datasets, K benchmarks.
"""

import numpy as np

from sftlab.predict.additive import additive_fit, mean_of_known
from sftlab.predict.gain_table import GainTable, Reals
from sftlab.predict.levels import family_means

FEWEST_DATASETS = 4
"""Datasets below which the correlation of two benchmarks says nothing."""


def said_by_other_benchmarks(table: GainTable) -> Reals:
    """Expected effect of each dataset on each benchmark given its effects on all others (D x K).

    In standard deviations of the effects on that benchmark, so that it is small where the others tell little.
    Effects are least-squares effects over families. The expectation is that of a normal distribution whose covariance
    is the shrunken correlation of benchmarks over datasets, to which the error of each effect is added; it is linear in
    the effects on the other benchmarks, and that on the benchmark itself does not enter. NaN for datasets
    without known gains, and 0 throughout where there is nothing to learn it from.
    """
    by_family = family_means(table, table.gain)
    fitted = additive_fit(by_family)
    effect_DK = fitted.effect
    tried_D = np.asarray(~np.isnan(effect_DK).all(axis=1), dtype=np.bool_)
    if tried_D.sum() < FEWEST_DATASETS or effect_DK.shape[1] < 2:
        return np.where(np.broadcast_to(tried_D[:, None], effect_DK.shape), 0.0, np.nan)
    error_K = _error_variance(by_family, fitted.level, effect_DK)
    centred_DK = effect_DK - mean_of_known(effect_DK[tried_D])
    spread_K = np.sqrt(mean_of_known(centred_DK[tried_D] ** 2))
    varies_K = spread_K > 0
    scaled_DK = centred_DK / np.where(varies_K, spread_K, np.nan)
    error_K = np.where(varies_K, error_K / np.where(varies_K, spread_K, 1.0) ** 2, 1.0)
    covariance_KK = _shrunken_correlation(np.nan_to_num(scaled_DK[tried_D])) + np.diag(error_K)
    said_DK = np.full(effect_DK.shape, np.nan)
    for d in np.flatnonzero(tried_D):
        said_DK[d] = _from_the_others(scaled_DK[d], covariance_KK)
    return said_DK


def _error_variance(by_family: Reals, level_FK: Reals, effect_DK: Reals) -> Reals:
    """Variance of an effect, the mean over so many families, from what level and effect leave (one a benchmark)."""
    residual = by_family - level_FK[:, None] - effect_DK
    known_K = (~np.isnan(residual)).sum(axis=(0, 1))
    rows_K, columns_K = (~np.isnan(level_FK)).sum(axis=0), (~np.isnan(effect_DK)).sum(axis=0)
    df_K = known_K - rows_K - columns_K + 1
    square_K = np.nansum(residual**2, axis=(0, 1)) / np.maximum(df_K, 1)
    total_K = np.nansum((effect_DK - np.nan_to_num(effect_DK).mean(axis=0)) ** 2, axis=0) / np.maximum(columns_K, 1)
    return np.asarray(np.where(df_K > 0, square_K / np.maximum(rows_K, 1), total_K))


def _shrunken_correlation(value_DK: Reals) -> Reals:
    """Correlation of columns, off the diagonal shrunk towards 0 by the intensity of Schaefer & Strimmer (2005)."""
    count = len(value_DK)
    correlation_KK = np.clip(value_DK.T @ value_DK / count, -1.0, 1.0)
    off = ~np.eye(len(correlation_KK), dtype=np.bool_)
    error = float(((1 - correlation_KK[off] ** 2) ** 2).sum()) / max(1, count - 1)
    square = float((correlation_KK[off] ** 2).sum())
    intensity = min(1.0, error / square) if square > 0 else 1.0
    return np.where(off, (1 - intensity) * correlation_KK, 1.0)


def _from_the_others(value_K: Reals, covariance_KK: Reals) -> Reals:
    """Expectation of each known entry given the other known ones, and of each unknown one given all known."""
    known_K = ~np.isnan(value_K)
    inverse = np.linalg.inv(covariance_KK[np.ix_(known_K, known_K)])
    weighted = inverse @ value_K[known_K]
    said_K = np.zeros(len(value_K))
    said_K[known_K] = value_K[known_K] - weighted / np.diag(inverse)
    said_K[~known_K] = covariance_KK[np.ix_(~known_K, known_K)] @ weighted
    return said_K

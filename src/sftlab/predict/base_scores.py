"""How good the bases are before training, on a scale on which benchmarks can be taken together.

Axes: B bases, K benchmarks.
"""

import numpy as np

from sftlab.predict.additive import mean_of_known
from sftlab.predict.gain_table import GainTable, Reals


def other_scores(table: GainTable) -> Reals:
    """For each base and benchmark, the mean of the base's standardised scores on the other benchmarks (B x K)."""
    score_BK = standardised_scores(table)
    if score_BK.shape[1] == 1:
        return score_BK
    known_BK = ~np.isnan(score_BK)
    others_BK = known_BK.sum(axis=1, keepdims=True) - known_BK
    total_BK = np.nansum(score_BK, axis=1, keepdims=True) - np.nan_to_num(score_BK)
    return np.where(others_BK > 0, total_BK / np.maximum(others_BK, 1), np.nan)


def standardised_scores(table: GainTable) -> Reals:
    """Scores of the bases, centred and in standard deviations over bases, benchmark by benchmark (B x K)."""
    centred_BK = table.base_score - mean_of_known(table.base_score)
    spread_K = np.sqrt(mean_of_known(centred_BK**2))
    return np.asarray(centred_BK / np.where(spread_K > 0, spread_K, np.nan))

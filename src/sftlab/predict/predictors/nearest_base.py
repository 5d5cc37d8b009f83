"""How the datasets did on the one base that is most alike."""

import numpy as np

from sftlab.predict.additive import mean_of_known
from sftlab.predict.base_scores import standardised_scores
from sftlab.predict.gain_table import GainTable, Reals
from sftlab.predict.levels import levelled
from sftlab.predict.predictor import Predicted, Predictor, unknown

FEWEST_COMMON = 6
"""Known gains in common below which a profile of gains says nothing."""


def fit(table: GainTable) -> Predicted:
    """Datasets as they did on the nearest base of another family.

    Nearest is whose gains (centred by base and benchmark, in standard deviations) correlate best with those of the
    base, or, for a base without gains, whose own scores are closest.
    """
    profile = gain_profile(table)
    order = unknown(table)
    for place, family in enumerate(table.families):
        others = [other for other, name in enumerate(table.families) if name != family and table.known[other].any()]
        if others:
            nearest = max(others, key=lambda other: _likeness(table, profile, place, other))
            order[place] = table.gain[nearest] - mean_of_known(table.gain[nearest])
    return levelled(table, order)


def gain_profile(table: GainTable) -> Reals:
    """Gains centred by base and benchmark, in standard deviations of the benchmark (B x D x K)."""
    centred = table.gain - np.array([mean_of_known(rows) for rows in table.gain])[:, None, :]
    spread_K = np.sqrt(np.nansum(centred**2, axis=(0, 1)) / np.maximum(table.known.sum(axis=(0, 1)), 1))
    return np.asarray(centred / np.where(spread_K > 0, spread_K, np.nan))


def _likeness(table: GainTable, profile: Reals, place: int, other: int) -> tuple[bool, float]:
    """Likeness of two bases: by gains before by scores."""
    x, y = profile[place], profile[other]
    both = ~np.isnan(x) & ~np.isnan(y)
    if both.sum() >= FEWEST_COMMON and np.ptp(x[both]) > 0 and np.ptp(y[both]) > 0:
        return True, float(np.corrcoef(x[both], y[both])[0, 1])
    score_BK = standardised_scores(table)
    square = mean_of_known((score_BK[place] - score_BK[other]) ** 2)
    return False, float(-np.nan_to_num(square, nan=np.inf))


NEAREST_BASE = Predictor("nearest_base", "the nearest base", fit)

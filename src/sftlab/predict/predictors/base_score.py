"""How good the base is before training."""

import numpy as np

from sftlab.predict.additive import mean_of_known
from sftlab.predict.base_scores import other_scores
from sftlab.predict.gain_table import GainTable
from sftlab.predict.levels import family_means, levelled
from sftlab.predict.predictor import Predicted, Predictor, unknown

FEWEST_FAMILIES = 3
"""Below that a line through families fits anything."""


def fit(table: GainTable) -> Predicted:
    """Level of a base's gains by regression over families on its score; it has no opinion on the order of datasets.

    The score is the mean of its standardised scores on the other benchmarks: other items, so that the error of the
    score that the gain is over does not make a relation of its own. Where there is one benchmark it is the score there.
    """
    score_BK = other_scores(table)
    level_BK = np.array([mean_of_known(rows) for rows in table.gain])
    x_FK, y_FK = family_means(table, score_BK), family_means(table, level_BK)
    both = ~np.isnan(x_FK) & ~np.isnan(y_FK)
    x_FK, y_FK = np.where(both, x_FK, np.nan), np.where(both, y_FK, np.nan)
    mean_x_K, mean_y_K = mean_of_known(x_FK), mean_of_known(y_FK)
    square_K = np.nansum((x_FK - mean_x_K) ** 2, axis=0)
    enough_K = (both.sum(axis=0) >= FEWEST_FAMILIES) & (square_K > 0)
    product_K = np.nansum((x_FK - mean_x_K) * (y_FK - mean_y_K), axis=0)
    slope_K = np.where(enough_K, product_K / np.where(enough_K, square_K, 1.0), 0.0)
    new_level_BK = mean_y_K + slope_K * np.nan_to_num(score_BK - mean_x_K)
    return levelled(table, unknown(table), new_level=new_level_BK, slopes=1)


BASE_SCORE = Predictor(
    "base_score",
    "the base's score",
    fit,
    lambda table: bool(table.known.any() and (~np.isnan(table.base_score)).any()),
)

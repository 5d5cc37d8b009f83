"""Which of several statistics is the largest: 95 % confidence sets.

Axes: P statistics, U units of which each was left out in turn.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sftlab.analyse.intervals import Estimate, Reals, half_width
from sftlab.analyse.verdicts import LEVEL

FEWEST_UNITS = 5
"""Units below which leaving one out says nothing of which statistic is the largest."""


def may_be_largest(value_P: Reals, without_UP: NDArray[np.float64]) -> list[bool]:
    """Whether each statistic is in the set: no other one is surely larger.

    By one-sided tests at 5 % over the number of others (Bonferroni), with the jackknife error of their difference and
    Student's t.
    """
    units, others = without_UP.shape[0], max(1, len(value_P) - 1)
    quantile = float(stats.t.ppf(1 - LEVEL / others, units - 1))
    found = []
    for value, without_U in zip(value_P, without_UP.T, strict=True):
        error_P = jackknife_error(without_UP - without_U[:, None])
        found.append(not bool(((value_P > value) & (value_P - value > quantile * error_P)).any()))
    return found


def jackknife_error(without_UP: NDArray[np.float64]) -> Reals:
    """Standard errors of statistics from their values with each unit left out (Efron & Stein 1981)."""
    units = len(without_UP)
    error_P: Reals = np.sqrt((units - 1) / units * np.sum((without_UP - without_UP.mean(axis=0)) ** 2, axis=0))
    return error_P


def surely_behind(behind: Estimate, others: int) -> bool | None:
    """Whether a statistic that is so far behind the largest is not the largest itself; None without an interval.

    `others` is how many might be the largest instead: the choice of the largest among them is allowed for.
    """
    if not behind.parts:
        return None
    return behind.value > half_width(behind.parts, LEVEL / max(1, others))

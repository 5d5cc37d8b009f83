"""How well a predictor told what was left out, with intervals over the few families or datasets there are.

Axes: B bases, D datasets, P pairs of datasets, K benchmarks.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy import stats

from sftlab.analyse.intervals import CONFIDENCE, Estimate, mean, within
from sftlab.analyse.largest import jackknife_error
from sftlab.predict.additive import mean_of_known
from sftlab.predict.gain_table import Mask, Reals
from sftlab.predict.left_out import HeldOut
from sftlab.predict.levels import family_means
from sftlab.predict.predictor import NORMAL_HALF_WIDTH

Statistic = Literal["decision_accuracy", "decision_accuracy_told_apart", "kendall_tau", "regret", "coverage", "width"]
BOUNDS: dict[Statistic, tuple[float, float]] = {
    "decision_accuracy": (0.0, 1.0),
    "decision_accuracy_told_apart": (0.0, 1.0),
    "kendall_tau": (-1.0, 1.0),
    "regret": (0.0, np.inf),
    "coverage": (0.0, 1.0),
    "width": (0.0, np.inf),
}
OVER_BENCHMARKS: tuple[Statistic, ...] = (
    "decision_accuracy",
    "decision_accuracy_told_apart",
    "kendall_tau",
    "coverage",
)
"""Those without a unit, of which a mean over benchmarks has a meaning."""
ROUNDING = 1e-12
"""A standard error that rounding alone may make of equal values."""


def decision_accuracy(held: HeldOut) -> float | None:
    """Share of pairs of datasets ordered rightly over all benchmarks, one vote a family; None without any pair."""
    found = estimate(held, "decision_accuracy", None)
    return None if found is None else found.value


def estimate(held: HeldOut, statistic: Statistic, place: int | None) -> Estimate | None:
    """One statistic on one benchmark, or (None) the mean over all; None where nothing could be told.

    Means are over benchmarks, then the bases of a family, then families. For a `new_base` and a `gap` the interval is
    Student's t over families; for a `new_dataset` the jackknife over datasets, as pairs share them. Where all of the
    few are equal there is none: a spread of 0 says nothing of those to come.
    """
    if held.question == "new_dataset":
        found = _over_datasets(
            lambda pairs_P, kept_D: _total(rows(held, statistic, pairs_P, kept_D), held, place), held
        )
    else:
        by_family = _by_family(rows(held, statistic), held, place)
        known = by_family[~np.isnan(by_family)]
        found = mean(known) if len(known) else None
    if found is not None and found.se is not None and found.se <= ROUNDING:
        found = Estimate(found.value, None, None, None, found.n)
    return None if found is None else within(found, BOUNDS[statistic])


def difference(held: HeldOut, other: HeldOut) -> Estimate | None:
    """How much more decision accuracy one predictor has than another on the same pairs, over all benchmarks."""
    if held.question == "new_dataset":
        return _over_datasets(
            lambda pairs_P, kept_D: (
                _total(rows(held, "decision_accuracy", pairs_P, kept_D), held, None)
                - _total(rows(other, "decision_accuracy", pairs_P, kept_D), other, None)
            ),
            held,
        )
    apart = rows(held, "decision_accuracy") - rows(other, "decision_accuracy")
    by_family = _by_family(apart, held, None)
    known = by_family[~np.isnan(by_family)]
    return mean(known) if len(known) else None


def rows(held: HeldOut, statistic: Statistic, pairs_P: Mask | None = None, kept_D: Mask | None = None) -> Reals:
    """One statistic for every base and benchmark (B x K), over some pairs and datasets alone; NaN where there is none.

    Pairs without a true order do not count; a predictor that does not order a pair is half right. `told_apart`: of
    pairs whose gains differ by more than their noise (items and seeds) may make them. Kendall's tau-b is of all pairs
    told, 0 where the predictor has no order. `regret`: what the best of those told gained beyond the one that the
    predictor put first (ties: their mean); of a `gap` and a `new_dataset`, where two are told at a time, of these two.
    """
    if statistic in ("coverage", "width"):
        values = held.coverage if statistic == "coverage" else held.width
        return _row_means(values if kept_D is None else values[:, kept_D])
    pairs_P = np.ones(len(held.first), dtype=np.bool_) if pairs_P is None else pairs_P
    truth, told = held.truth[:, pairs_P], held.difference[:, pairs_P]
    right = np.where(np.isnan(told) | (truth == 0), np.nan, (1 + np.sign(truth) * np.sign(told)) / 2)
    if statistic == "decision_accuracy":
        return _row_means(right)
    if statistic == "decision_accuracy_told_apart":
        return _row_means(np.where(_told_apart(held)[:, pairs_P], right, np.nan))
    if statistic == "kendall_tau":
        return _tau_b(truth, told)
    if held.question == "new_base":
        return _regret_of_first(held)
    return _row_means(np.where(np.isnan(told), np.nan, np.abs(truth) * (1 - np.nan_to_num(right, nan=1.0))))


def _row_means(values: Reals) -> Reals:
    return np.array([mean_of_known(of_base) for of_base in values])


def _told_apart(held: HeldOut) -> Mask:
    """Pairs of gains that differ by more than noise does; none where the noise is not known."""
    noise = held.table.noise
    half = NORMAL_HALF_WIDTH * np.sqrt(noise[:, held.first] + noise[:, held.second])
    return np.asarray(np.abs(held.truth) > half)


def _tau_b(truth: Reals, told: Reals) -> Reals:
    """Kendall's tau-b from differences of pairs (B x P x K)."""
    asked = ~np.isnan(told)
    x, y = np.where(asked, np.sign(truth), 0.0), np.where(asked, np.sign(told), 0.0)
    size = np.sqrt((x != 0).sum(axis=1) * (y != 0).sum(axis=1))
    tau = (x * y).sum(axis=1) / np.where(size > 0, size, 1.0)
    return np.where((x != 0).any(axis=1), tau, np.nan)


def _regret_of_first(held: HeldOut) -> Reals:
    """What was lost by taking the dataset that was told to be best (B x K)."""
    told = ~np.isnan(held.gain)
    best = np.where(told, held.table.gain, -np.inf).max(axis=1)
    top = np.where(told, held.gain, -np.inf).max(axis=1)
    slack = 1e-9 * np.nanmax(np.abs(held.table.gain), initial=1e-300)
    first = told & (np.where(told, held.gain, -np.inf) >= top[:, None] - slack)
    taken = np.where(first, held.table.gain, 0.0).sum(axis=1) / np.maximum(first.sum(axis=1), 1)
    with np.errstate(invalid="ignore"):
        return np.where(told.sum(axis=1) > 1, best - taken, np.nan)


def _by_family(rows_BK: Reals, held: HeldOut, place: int | None) -> Reals:
    of_base_B = mean_of_known(rows_BK.T) if place is None else rows_BK[:, place]
    return family_means(held.table, of_base_B)


def _total(rows_BK: Reals, held: HeldOut, place: int | None) -> float:
    return float(mean_of_known(_by_family(rows_BK, held, place)))


def _over_datasets(total: Callable[[Mask, Mask], float], held: HeldOut) -> Estimate | None:
    """A mean over pairs of datasets with the jackknife interval over datasets."""
    units = held.table.tried_units
    pairs_P, kept_D = np.ones(len(held.first), dtype=np.bool_), np.ones(len(held.table.units), dtype=np.bool_)
    value = total(pairs_P, kept_D)
    if np.isnan(value):
        return None
    without_U = np.array([total(held.pairs_without(unit), _others(held, unit)) for unit in units])
    if np.isnan(without_U).any() or len(units) < 3:
        return Estimate(value, None, None, None, len(units))
    se = float(jackknife_error(without_U[:, None])[0])
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(units) - 1)) * se
    return Estimate(value, se, value - half, value + half, len(units))


def _others(held: HeldOut, unit: str) -> Mask:
    return np.array([name != unit for name in held.table.units])

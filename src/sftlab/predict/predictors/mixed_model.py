"""A mixed model of gains, averaged over how large its variances may be.

gain = mean + base + dataset (+ dataset under bases that are alike) + slopes on what is measured + rest, benchmark by
benchmark: the best linear unbiased prediction of gains that are not known. With four to eight bases the variances of
these effects are hardly known themselves; so they are not estimated by one number, but every combination of a grid
(`variance_grid`) counts by its restricted likelihood, times how much it counts on the other benchmarks. The spread of
what the combinations say is part of the interval, as is the t distribution of the scale: that is the small-sample
correction.

Axes: G covariances, N cells, n those with a known gain and m those without, K benchmarks, C covariates, H choices of
covariates.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sftlab.predict.base_scores import standardised_scores
from sftlab.predict.gain_table import GainTable, Mask, Reals
from sftlab.predict.other_benchmarks import said_by_other_benchmarks
from sftlab.predict.predictor import NORMAL_HALF_WIDTH, Predicted, Predictor, unknown
from sftlab.predict.properties import covariates
from sftlab.predict.variance_grid import covariances

FEWEST_CELLS = 5
MOST_WORK = 1e7
"""Sum over patterns of known cells of their number cubed: about a second a fit, of which judging takes a hundred."""
SLOPE_VARIANCES = (1.0, 16.0)
"""Of the slope on a covariate, whose unit is its standard deviation; shared among covariates of one kind."""
LENT = 1.0
"""How much equal weights count beside the other benchmarks: as many benchmarks as this share of them."""
LENDING_ROUNDS = 10
SAID, SCORE, MEASURED = 0, 1, 2
"""Kinds of covariates: what the other benchmarks say of a dataset, the base's own score, properties of the data."""


def fit(table: GainTable) -> Predicted:
    """Expected gain of every cell without one, and the interval of what a run there would be measured to gain."""
    shape = table.gain.shape
    gain, half = unknown(table).reshape(-1, shape[2]), unknown(table).reshape(-1, shape[2])
    of_cells = np.array([one.of_cells for one in covariances(table)])
    columns, choices = _columns(table)
    parts = [
        _Part(known_N, places, _averaged(table, places, known_N, of_cells, (columns, choices)))
        for known_N, places in _patterns(table)
    ]
    if not parts:
        return Predicted(gain.reshape(shape), half.reshape(shape))
    said_H = choices[:, SAID] > 0
    likelihoods = [part.averaged.log_likelihood for part in parts]
    unsaid = [np.where(said_H[:, None, None], -np.inf, values) for values in likelihoods]
    for part, weight, weight_unsaid in zip(parts, _weights(likelihoods), _weights(unsaid), strict=True):
        new_m = np.asarray(np.isnan(columns[~part.known][:, part.places, SAID]).any(axis=1))
        with_said, without = part.averaged.mixed(weight), part.averaged.mixed(weight_unsaid)
        mean_mK, variance_mK = (np.where(new_m[:, None], *pair) for pair in zip(without, with_said, strict=True))
        gain[np.ix_(~part.known, part.places)] = mean_mK
        half[np.ix_(~part.known, part.places)] = NORMAL_HALF_WIDTH * np.sqrt(variance_mK)
    return Predicted(gain.reshape(shape), half.reshape(shape))


def _patterns(table: GainTable) -> Iterator[tuple[Mask, NDArray[np.int64]]]:
    """Benchmarks by which of their cells are known (N); those with too few or all equal gains are left out."""
    known_NK = table.known.reshape(-1, len(table.scales))
    gain_NK = table.gain.reshape(-1, len(table.scales))
    places: dict[bytes, list[int]] = {}
    for k in range(len(table.scales)):
        known = gain_NK[known_NK[:, k], k]
        if len(known) >= FEWEST_CELLS and np.ptp(known) > 0:
            places.setdefault(known_NK[:, k].tobytes(), []).append(k)
    for of_pattern in places.values():
        yield known_NK[:, of_pattern[0]], np.array(of_pattern, dtype=np.int64)


def _columns(table: GainTable) -> tuple[Reals, Reals]:
    """Covariates (N x K x C; NaN where unknown) and the prior variance of their slopes under each choice (H x C).

    What the other benchmarks say of a dataset is not known of one that no base has tried: of those only the choices
    without it speak.
    """
    bases, datasets, benchmarks = table.gain.shape
    said_DK = said_by_other_benchmarks(table)
    score_BK = np.nan_to_num(standardised_scores(table))
    measured = covariates(table)
    blocks = [
        np.broadcast_to(said_DK, (bases, datasets, benchmarks)),
        np.broadcast_to(score_BK[:, None], (bases, datasets, benchmarks)),
        *measured,
    ]
    columns = np.stack([block.reshape(-1, benchmarks) for block in blocks], axis=-1)
    kinds = np.array([SAID, SCORE, *(MEASURED for _ in measured)])
    included: list[tuple[int, ...]] = [(), (SAID,), (SCORE,), (SAID, SCORE)]
    if measured:
        included += [(MEASURED,), (SAID, MEASURED), (SCORE, MEASURED), (SAID, SCORE, MEASURED)]
    shares = np.array([1 / np.count_nonzero(kinds == kind) for kind in kinds])
    sizes = [(of_choice, size) for of_choice in included for size in (SLOPE_VARIANCES if of_choice else (1.0,))]
    return columns, np.array([np.isin(kinds, of_choice) * shares * size for of_choice, size in sizes])


@dataclass(frozen=True, eq=False)
class _Averaged:
    """For every covariance and choice of covariates, log likelihood (H x G x K), mean and variance (H x G x m x K)."""

    log_likelihood: Reals
    mean: Reals
    variance: Reals

    def mixed(self, weight: Reals) -> tuple[Reals, Reals]:
        """Mean and variance (m x K) of the mixture under weights (H x G x K)."""
        mean_mK = np.einsum("hgk,hgmk->mk", weight, self.mean)
        variance_mK = np.einsum("hgk,hgmk->mk", weight, self.variance + (self.mean - mean_mK) ** 2)
        return mean_mK, variance_mK


@dataclass(frozen=True, eq=False)
class _Part:
    """What the model says on benchmarks with the same known cells."""

    known: Mask
    places: NDArray[np.int64]
    averaged: _Averaged


def _averaged(
    table: GainTable, places: NDArray[np.int64], known_N: Mask, of_cells: Reals, design: tuple[Reals, Reals]
) -> _Averaged:
    """Restricted likelihood and prediction under each covariance and choice, all benchmarks of a pattern at once."""
    columns, choices = design
    target_nK = table.gain.reshape(len(known_N), -1)[known_N][:, places]
    all_KNC = np.moveaxis(columns[:, places], 1, 0)
    solved = _Solved(of_cells, known_N, target_nK, np.nan_to_num(all_KNC))
    found = [solved.under(choice_C) for choice_C in choices]
    return _Averaged(*(np.stack(values) for values in zip(*found, strict=True)))


class _Solved:
    """The systems of all covariances, from which every choice of covariates is had cheaply.

    With R = V^-1 - V^-1 1 1' V^-1 / (1' V^-1 1), V the covariance of the known cells, everything is as if the mean, of
    flat prior, were no unknown: likelihood, slopes and predictions follow from R alone.
    """

    def __init__(self, of_cells: Reals, known_N: Mask, target_nK: Reals, all_KNC: Reals) -> None:
        self.count = len(target_nK)
        covariance = of_cells[:, known_N][:, :, known_N] + np.eye(self.count)
        self.log_det_G = np.linalg.slogdet(covariance)[1]
        inverse = np.linalg.inv(covariance)
        one_Gn = inverse.sum(axis=2)
        self.total_G = one_Gn.sum(axis=1)
        restricted = inverse - one_Gn[:, :, None] * (one_Gn / self.total_G[:, None])[:, None]
        known_KnC = all_KNC[:, known_N]
        rest_GnK = restricted @ target_nK
        slopes_GKnC = restricted[:, None] @ known_KnC
        self.square_GK = np.einsum("nk,gnk->gk", target_nK, rest_GnK)
        self.product_GKCC = np.swapaxes(known_KnC, 1, 2) @ slopes_GKnC
        self.with_target_GKC = np.einsum("knc,gnk->gkc", known_KnC, rest_GnK)
        cross_Gmn = of_cells[:, ~known_N][:, :, known_N]
        weights_Gmn = cross_Gmn @ inverse
        own_Gm = np.diagonal(of_cells, axis1=1, axis2=2)[:, ~known_N] + 1.0
        left_Gm = 1.0 - weights_Gmn.sum(axis=2)
        self.variance_Gm = own_Gm - (weights_Gmn * cross_Gmn).sum(axis=2) + left_Gm**2 / self.total_G[:, None]
        mean_Gn = one_Gn / self.total_G[:, None]
        self.mean_GmK = (mean_Gn @ target_nK)[:, None] + cross_Gmn @ rest_GnK
        mean_GKC = np.einsum("gn,knc->gkc", mean_Gn, known_KnC)
        self.leverage_GKmC = all_KNC[:, ~known_N] - mean_GKC[:, :, None] - cross_Gmn[:, None] @ slopes_GKnC

    def under(self, prior_C: Reals) -> tuple[Reals, Reals, Reals]:
        """Log likelihood (G x K), mean and variance (G x m x K) where slopes have these prior variances."""
        used = np.flatnonzero(prior_C)
        root_C = np.sqrt(prior_C[used])
        inner = np.eye(len(used)) + root_C[:, None] * self.product_GKCC[..., used, :][..., used] * root_C
        target = root_C * self.with_target_GKC[..., used]
        middle = np.linalg.inv(inner)
        solved = (middle @ target[..., None])[..., 0]
        square_GK = np.maximum(self.square_GK - (target * solved).sum(axis=-1), 1e-12 * self.square_GK)
        log_det_GK = -np.linalg.slogdet(middle)[1] if len(used) else 0.0
        likelihood_GK = -0.5 * ((self.log_det_G + np.log(self.total_G))[:, None] + log_det_GK)
        likelihood_GK = likelihood_GK - 0.5 * (self.count - 1) * np.log(square_GK)
        leverage = self.leverage_GKmC[..., used] * root_C
        mean_GmK = self.mean_GmK + np.swapaxes((leverage @ solved[..., None])[..., 0], 1, 2)
        of_slopes = ((leverage @ middle) * leverage).sum(axis=-1)
        variance = (self.variance_Gm[:, :, None] + np.swapaxes(of_slopes, 1, 2)) * square_GK[:, None] / (self.count - 3)
        return likelihood_GK, mean_GmK, variance


def _weights(log_likelihoods: list[Reals]) -> list[Reals]:
    """How much each combination counts on each benchmark: its likelihood there, times how much it counts elsewhere.

    Elsewhere are the other benchmarks alone: what is counted twice looks surer than it is.
    """
    flat = np.concatenate([values.reshape(-1, values.shape[2]) for values in log_likelihoods], axis=1)
    likelihood = np.exp(flat - flat.max(axis=0))
    count, benchmarks = likelihood.shape
    equal = LENT * benchmarks
    posterior = likelihood / likelihood.sum(axis=0)
    for _ in range(LENDING_ROUNDS if benchmarks > 1 else 0):
        elsewhere = posterior.sum(axis=1, keepdims=True) - posterior
        posterior = (equal / count + elsewhere) * likelihood
        posterior /= posterior.sum(axis=0)
    shares, start = [], 0
    for values in log_likelihoods:
        shares.append(posterior[:, start : start + values.shape[2]].reshape(values.shape))
        start += values.shape[2]
    return shares


MIXED_MODEL = Predictor(
    "mixed_model",
    "the mixed model",
    fit,
    lambda table: 0 < sum(int(np.count_nonzero(known_N)) ** 3 for known_N, _ in _patterns(table)) <= MOST_WORK,
)

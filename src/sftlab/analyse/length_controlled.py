"""Win rates as they would be if both models' outputs were equally long.

Axes: N items.
"""

from dataclasses import dataclass

import numpy as np

from sftlab.analyse.intervals import Reals

MAX_STEPS = 200
TOLERANCE = 1e-12
PARTED = "length alone parts wins from losses, so the regression has no maximum"
CERTAIN = 1e-9
"""Preferences as near to 0 or 1 as this are 0 or 1: verdicts of a judge that leaves no doubt."""
LEAST_RANGE = 1e-3
"""Of tanh of the scaled differences; with less, length is as good as constant, and merit cannot be told from it."""
FEWEST = 20
"""Judged items that the regression is fitted to: ten for each of its coefficients (Peduzzi et al. 1996)."""
STEEPEST = 2 * float(np.log(0.999 / 0.001))
"""Of the fitted log-odds over all lengths, from a chance of 0.001 to one of 0.999, where lengths part the verdicts."""


@dataclass(frozen=True)
class LengthControlled:
    """A length-controlled win rate; `by_item` are its shares by item, whose mean it is, and whose spread its error.

    `intercept` and `slope` are the coefficients, None where every preference is the same.
    """

    win_rate: float
    by_item: Reals
    intercept: float | None = None
    slope: float | None = None


@dataclass(frozen=True)
class NotControlled:
    """Why no length-controlled win rate can be told."""

    reason: str


def length_controlled_win_rate(preference_N: Reals, length_difference_N: Reals) -> LengthControlled | NotControlled:
    """Win rate from the regression of Dubois et al. 2024 (arXiv 2404.04475), reduced to what one model's verdicts tell.

    `preference_N` are in [0, 1] (1: the model's output is better), `length_difference_N` the characters of the model's
    output less those of the reference's. Fitted is the fractional logistic regression

        logit P(model better) = a + b tanh(difference / standard deviation of differences)

    by maximum likelihood; the win rate is logistic(a), its prediction at equal lengths. The original has one more term,
    an instruction's difficulty times a coefficient of the model, with difficulties fitted beforehand over the models of
    its leaderboard; it pulls coefficients by an L1 penalty chosen in cross-validation, and the slope towards those of
    a model told to write short and long (weight 0.2). None of that exists for a study's own judge, reference or items,
    and the published weights hold for one judge and reference alone: so values are near those of the leaderboard, not
    equal to them, and compare models of one study.

    Where length parts all that is won from all that is lost, likelihood grows with the slope without end (Albert &
    Anderson 1984), and what a fit stops at is nobody's preference. The original has a value there all the same: its
    penalty ends the growth, at a point that the penalty chooses. Weighted verdicts are never quite 0 or 1, so a maximum
    may then exist, but where it lies is told by their last decimals: that is taken for parted as well, where verdicts
    rounded to wins and losses are parted and the fitted log-odds range over more than `STEEPEST`.

    `by_item` holds win rate + influence of the item on it (logistic'(a) times the first row of the inverse information
    times n times score): influences sum to 0 at the maximum, and their variance is that of the sandwich estimator, so
    that means and paired differences over items have right intervals like those of any other score. Equal preferences
    all over have nothing to control for. `NotControlled` where the regression has no single maximum: fewer than two
    items, differences of length that are all alike (or all far beyond their own spread, where tanh is flat), or
    verdicts that lengths alone part; and where fewer than `FEWEST` items are judged.
    """
    assert len(preference_N) == len(length_difference_N)
    assert len(preference_N) == 0 or (preference_N.min() >= 0.0 and preference_N.max() <= 1.0)
    if len(preference_N) < 2:
        return NotControlled("a regression on length needs at least two judged items")
    preference_N = np.where(preference_N < CERTAIN, 0.0, np.where(preference_N > 1 - CERTAIN, 1.0, preference_N))
    spread = float(length_difference_N.std(ddof=1))
    if np.all(preference_N == preference_N[0]) or not length_difference_N.any():
        return LengthControlled(float(preference_N.mean()), preference_N)
    control_N = np.tanh(length_difference_N / spread) if spread > 0.0 else np.ones_like(length_difference_N)
    reason = _unfit(preference_N, control_N)
    return _fitted(preference_N, control_N) if reason is None else NotControlled(reason)


def _unfit(preference_N: Reals, control_N: Reals) -> str | None:
    """Why verdicts cannot be regressed on lengths, or None."""
    if float(np.ptp(control_N)) < LEAST_RANGE:
        return "all outputs differ from the reference alike in length, which cannot be told from merit"
    if _parted(preference_N, control_N):
        return PARTED
    if len(preference_N) < FEWEST:
        return f"a regression on length needs {FEWEST} judged items, and there are {len(preference_N)}"
    return None


def _fitted(preference_N: Reals, control_N: Reals) -> LengthControlled | NotControlled:
    design_NP = np.column_stack([np.ones_like(control_N), control_N])
    found = _maximum_likelihood(preference_N, design_NP)
    if found is None:
        return NotControlled("the regression on length does not come to its maximum")
    intercept, slope = found
    steepness = abs(slope) * float(np.ptp(control_N))
    if steepness > STEEPEST and _parted((preference_N > 0.5).astype(np.float64), control_N):
        return NotControlled(PARTED)
    predicted_N = _logistic(design_NP @ np.array([intercept, slope]))
    information_PP = design_NP.T @ (design_NP * (predicted_N * (1 - predicted_N))[:, None])
    score_NP = design_NP * (preference_N - predicted_N)[:, None]
    influence_N = len(preference_N) * np.linalg.solve(information_PP, score_NP.T)[0]
    rate = float(_logistic(np.array(intercept)))
    return LengthControlled(rate, rate + rate * (1 - rate) * influence_N, intercept, slope)


def _parted(preference_N: Reals, control_N: Reals) -> bool:
    """Whether a threshold of length has all that is won on one side and all that is lost on the other.

    A preference between 0 and 1 is both won and lost. Then, and only then, the likelihood grows without end.
    """
    won, lost = control_N[preference_N > 0.0], control_N[preference_N < 1.0]
    if len(won) == 0 or len(lost) == 0:
        return True
    return bool(won.max() <= lost.min() or lost.max() <= won.min())


def _maximum_likelihood(preference_N: Reals, design_NP: Reals) -> tuple[float, float] | None:
    """Newton's method, with steps halved while they lower the likelihood (it is concave); None if it does not end."""
    beta_P = np.zeros(2)
    level = _log_likelihood(preference_N, design_NP @ beta_P)
    for _ in range(MAX_STEPS):
        predicted_N = _logistic(design_NP @ beta_P)
        information_PP = design_NP.T @ (design_NP * (predicted_N * (1 - predicted_N))[:, None])
        step_P = np.linalg.solve(information_PP, design_NP.T @ (preference_N - predicted_N))
        while (new := _log_likelihood(preference_N, design_NP @ (beta_P + step_P))) < level - TOLERANCE:
            step_P = step_P / 2
        beta_P, level = beta_P + step_P, new
        if float(np.abs(step_P).max()) < TOLERANCE * (1 + float(np.abs(beta_P).max())):
            return float(beta_P[0]), float(beta_P[1])
    return None


def _log_likelihood(preference_N: Reals, logit_N: Reals) -> float:
    return float((preference_N * logit_N - np.logaddexp(0.0, logit_N)).sum())


def _logistic(logit_N: Reals) -> Reals:
    return np.exp(-np.logaddexp(0.0, -logit_N))

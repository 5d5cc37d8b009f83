"""What gains depend on: the shares of base, dataset, benchmark and their interactions in the variance of gains.

Axes: B bases (families), D datasets, K benchmarks.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sftlab.analyse.gain_array import GainArray
from sftlab.analyse.intervals import TAIL, Estimate, Reals

SOURCES: Mapping[str, tuple[int, ...]] = {
    "base": (0,),
    "dataset": (1,),
    "benchmark": (2,),
    "base x dataset": (0, 1),
    "base x benchmark": (0, 2),
    "dataset x benchmark": (1, 2),
}
REST, NOISE = "base x dataset x benchmark", "items and seeds"
FEWEST_LEVELS = 4
"""Levels of a factor that an interval by leaving one out at a time needs at least."""


@dataclass(frozen=True)
class VarianceShare:
    """Share of one source in the variance of gains, and its variance component in squared units of the array."""

    source: str
    share: Estimate
    variance: float


def variance_shares(array: GainArray) -> list[VarianceShare]:
    """Shares of a crossed random-effects model of gains, by expected mean squares (Searle, Casella & McCulloch 1992).

    Base stands for family (the mean over its bases). The three-way interaction cannot be told from noise unless the
    sampling variance of gains is known: then it is given apart. Negative components count as 0. Intervals leave one
    family and one dataset out at a time (jackknife, variances added, Student's t of the smaller factor); None with
    fewer than four of either. Theirs are of components as they come, below 0 as well, without which a share that is
    small would look known; and as those are skewed, the upper end is the larger of that of the share and that of the
    arc sine of its root. Empty where a factor has a single level.
    """
    used = array.by_family()
    if min(used.gain.shape) < 2:
        return []
    signed = _components(used.gain, used.noise)
    components = {source: max(0.0, variance) for source, variance in signed.items()}
    total = sum(components.values())
    if total <= 0:
        return []
    families, datasets = used.gain.shape[:2]
    units = min(families, datasets)
    errors = _errors(used) if units >= FEWEST_LEVELS else None
    signed_share = _shares(signed)
    found = []
    for source, variance in components.items():
        estimate = Estimate(variance / total, None, None, None, units)
        if errors is not None:
            estimate = _with_interval(estimate, signed_share[source], errors[source])
        found.append(VarianceShare(source, estimate, variance))
    return found


def _with_interval(estimate: Estimate, signed_share: float, errors: tuple[float, float]) -> Estimate:
    """`errors` are the standard errors of the signed share and of the arc sine of its root."""
    quantile = float(stats.t.isf(TAIL, estimate.n - 1))
    of_share, of_angle = errors
    angle = min(math.pi / 2, _angle(signed_share) + quantile * of_angle)
    low = max(0.0, min(estimate.value, signed_share - quantile * of_share))
    high = max(estimate.value, signed_share + quantile * of_share, math.sin(angle) ** 2)
    return Estimate(estimate.value, of_share, low, min(1.0, high), estimate.n)


def _angle(share: float) -> float:
    return math.asin(math.sqrt(min(1.0, max(0.0, share))))


def _components(gain_BDK: Reals, noise_BDK: Reals | None) -> dict[str, float]:
    """Variance components as they come, some perhaps below 0."""
    shape = gain_BDK.shape
    effect: dict[tuple[int, ...], Reals] = {(): np.full((1, 1, 1), gain_BDK.mean())}
    square: dict[tuple[int, ...], float] = {}
    for axes in (*SOURCES.values(), (0, 1, 2)):
        others = tuple(axis for axis in range(3) if axis not in axes)
        mean = gain_BDK.mean(axis=others, keepdims=True) if others else gain_BDK
        effect[axes] = mean - sum(effect[inner] for inner in effect if set(inner) < set(axes))
        df = math.prod(shape[axis] - 1 for axis in axes)
        repeats = math.prod(shape[axis] for axis in others)
        square[axes] = float((effect[axes] ** 2).sum()) * repeats / df
    found = {}
    rest = square[0, 1, 2]
    for name, axes in SOURCES.items():
        others = tuple(axis for axis in range(3) if axis not in axes)
        if len(axes) == 2:
            between = square[axes] - rest
        else:
            with_others = [square[(min(axes[0], other), max(axes[0], other))] for other in others]
            between = square[axes] - sum(with_others) + rest
        found[name] = between / math.prod(shape[axis] for axis in others)
    if noise_BDK is None:
        return {**found, f"{REST} and noise": rest}
    noise = min(rest, float(noise_BDK.mean()))
    return {**found, REST: rest - noise, NOISE: noise}


def _shares(components: Mapping[str, float]) -> dict[str, float]:
    """Each component over their sum; nothing has a share where that is not above 0."""
    total = sum(components.values())
    return {source: value / total if total > 0 else 0.0 for source, value in components.items()}


def _errors(array: GainArray) -> dict[str, tuple[float, float]]:
    """Jackknife standard errors of each signed share and of the arc sine of its root, over families and datasets."""
    variance: dict[str, NDArray[np.float64]] = {}
    for axis in (0, 1):
        levels = array.gain.shape[axis]
        left_out: dict[str, list[tuple[float, float]]] = {}
        for place in range(levels):
            noise = None if array.noise is None else np.delete(array.noise, place, axis=axis)
            components = _components(np.delete(array.gain, place, axis=axis), noise)
            for source, share in _shares(components).items():
                left_out.setdefault(source, []).append((share, _angle(share)))
        for source, values in left_out.items():
            value_U2 = np.array(values)
            spread_2 = ((value_U2 - value_U2.mean(axis=0)) ** 2).sum(axis=0) * (levels - 1) / levels
            variance[source] = variance.get(source, np.zeros(2)) + spread_2
    return {source: (math.sqrt(of_share), math.sqrt(of_angle)) for source, (of_share, of_angle) in variance.items()}

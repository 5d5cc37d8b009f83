"""What gains depend on: the shares of base, dataset, benchmark and their interactions in the variance of gains.

Axes: B bases (families), D datasets, K benchmarks.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
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
    fewer than four of either. Empty where a factor has a single level.
    """
    used = array.by_family()
    if min(used.gain.shape) < 2:
        return []
    components = _components(used.gain, used.noise)
    total = sum(components.values())
    if total <= 0:
        return []
    families, datasets = used.gain.shape[:2]
    errors = _errors(used) if min(families, datasets) >= FEWEST_LEVELS else None
    units = min(families, datasets)
    found = []
    for source, variance in components.items():
        share = variance / total
        if errors is None:
            estimate = Estimate(share, None, None, None, units)
        else:
            half = float(stats.t.isf(TAIL, units - 1)) * errors[source]
            estimate = Estimate(share, errors[source], max(0.0, share - half), min(1.0, share + half), units)
        found.append(VarianceShare(source, estimate, variance))
    return found


def _components(gain_BDK: Reals, noise_BDK: Reals | None) -> dict[str, float]:
    """Variance components, those below 0 as 0."""
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
        found[name] = max(0.0, between / math.prod(shape[axis] for axis in others))
    if noise_BDK is None:
        return {**found, f"{REST} and noise": rest}
    noise = min(rest, float(noise_BDK.mean()))
    return {**found, REST: rest - noise, NOISE: noise}


def _errors(array: GainArray) -> dict[str, float]:
    """Jackknife standard errors of the shares, over families and over datasets together."""
    variance: dict[str, float] = {}
    for axis in (0, 1):
        levels = array.gain.shape[axis]
        left_out = []
        for place in range(levels):
            noise = None if array.noise is None else np.delete(array.noise, place, axis=axis)
            components = _components(np.delete(array.gain, place, axis=axis), noise)
            total = sum(components.values()) or 1.0
            left_out.append({source: value / total for source, value in components.items()})
        for source in left_out[0]:
            value_U = np.array([one[source] for one in left_out])
            spread = float(((value_U - value_U.mean()) ** 2).sum()) * (levels - 1) / levels
            variance[source] = variance.get(source, 0.0) + spread
    return {source: math.sqrt(value) for source, value in variance.items()}

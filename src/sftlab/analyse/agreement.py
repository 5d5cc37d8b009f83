"""Do bases, datasets and benchmarks behave alike: correlations between the levels of one factor over the other two.

Axes: B bases, D datasets, K benchmarks; L levels of the factor in question, X and Y the other two axes.
"""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from sftlab.analyse.gain_array import FACTOR_AXES, Factor, GainArray
from sftlab.analyse.intervals import NORMAL_QUANTILE, TAIL, Estimate, Reals

PERMUTATIONS = 1999
FEWEST_UNITS = 4
"""Units that an interval by leaving one out at a time needs at least."""

TWO_QUESTIONS = (
    "p asks of those tried whether they agree more than with datasets (or bases) exchanged at random, the interval how "
    "much others like them would: either may be sure without the other."
)
"""Why a small p may stand beside an interval that holds 0, and the other way round."""


@dataclass(frozen=True)
class Agreement:
    """How alike two levels of a factor are.

    `raw` correlates their gains as they are; `estimate` after double centring, with an interval over `units` (levels of
    the named axis, left out one at a time). `ceiling` is the correlation that noise lets two truly equal levels reach,
    `disattenuated` the double-centred one over it; both None where noise is unknown or leaves no signal. `p` is the
    share of permutations of datasets (of bases, between datasets) within one level that correlate as strongly.
    """

    factor: Factor
    level: str
    other: str
    raw: float | None
    estimate: Estimate | None
    units: str
    ceiling: float | None
    disattenuated: float | None
    p: float | None


def double_centred(slice_LXY: Reals) -> Reals:
    """Each level's table without its row and column means: what is left is which X goes with which Y.

    Without it two bases correlate because some benchmarks gain more than others whatever the data, and two benchmarks
    because some bases gain more than others.
    """
    centred: Reals = slice_LXY - slice_LXY.mean(axis=1, keepdims=True)
    centred -= centred.mean(axis=2, keepdims=True)
    return centred


def agreements(array: GainArray, factor: Factor, *, seed: int = 0) -> list[Agreement]:
    """Every pair of levels of one factor. Nothing where the other two factors have fewer than two levels each.

    Families stand for their bases, unless bases themselves are compared.
    """
    used = array if factor == "base" else array.by_family()
    axis = FACTOR_AXES.index(factor)
    gain_LXY = np.moveaxis(used.gain, axis, 0)
    if min(gain_LXY.shape) < 2:
        return []
    centred_LXY = double_centred(gain_LXY)
    reliability_L = _reliability(centred_LXY, used, axis)
    others = [name for name in FACTOR_AXES if name != factor]
    generator = np.random.default_rng(seed)
    found = []
    for a, b in combinations(range(len(gain_LXY)), 2):
        ceiling = _ceiling(reliability_L, a, b)
        unit_axis = _unit_axis(gain_LXY.shape[1:], others)
        estimate = _jackknifed(gain_LXY[[a, b]], unit_axis)
        found.append(
            Agreement(
                factor=factor,
                level=used.levels(factor)[a],
                other=used.levels(factor)[b],
                raw=_correlation(gain_LXY[a], gain_LXY[b]),
                estimate=estimate,
                units=others[unit_axis],
                ceiling=ceiling,
                disattenuated=estimate.value / ceiling if estimate is not None and ceiling else None,
                p=_permutation_p(centred_LXY[a], centred_LXY[b], _permuted_axis(others), generator),
            )
        )
    return found


def mean_agreement(array: GainArray, factor: Factor, *, seed: int = 0) -> tuple[Estimate, float] | None:
    """Mean double-centred correlation over all pairs of levels, and its p-value; None where it is not defined.

    Under the null, which dataset has which row of gains is permuted within every base alone (of every level of the
    factor), so that nothing is shared but chance. The interval is of families and datasets like these on these
    benchmarks: one family, one dataset and both are left out at a time (Tukey's jackknife on Fisher's z, Student's t),
    the squares of the half-widths of both factors add up, and what they share is taken off once; there is none with
    fewer than four of either. (Families alone are not enough: all of them share the datasets that were tried.)
    """
    used = array.by_family()
    gain_LXY = np.moveaxis(used.gain, FACTOR_AXES.index(factor), 0)
    levels = len(gain_LXY)
    if min(gain_LXY.shape) < 2:
        return None
    centred_LXY = double_centred(gain_LXY)
    observed = _mean_correlation(centred_LXY)
    if observed is None:
        return None
    generator = np.random.default_rng(seed)
    axis = _permuted_axis([name for name in FACTOR_AXES if name != factor])
    hits = int((_permuted_means(centred_LXY, axis, generator) >= observed - 1e-12).sum())
    p = (1 + hits) / (1 + PERMUTATIONS)
    half = _crossed_half_width(used, factor, observed)
    if half is None:
        return Estimate(observed, None, None, None, levels), p
    centre = _fisher(observed)
    return Estimate(observed, None, math.tanh(centre - half), math.tanh(centre + half), levels), p


def _crossed_half_width(array: GainArray, factor: Factor, observed: float) -> float | None:
    """Half the interval of the mean correlation on Fisher's z, over families and datasets; None with few of either."""
    families, datasets, _ = array.gain.shape
    if min(families, datasets) < FEWEST_UNITS:
        return None
    left_BD = np.array(
        [[_left_out(array, factor, observed, b, d) for d in range(-1, datasets)] for b in range(-1, families)]
    )
    base, of_family, of_dataset = left_BD[0, 0], left_BD[1:, :1], left_BD[:1, 1:]
    crossed_BD = left_BD[1:, 1:] - of_family - of_dataset + base
    shared = (families - 1) * (datasets - 1) / (families * datasets) * float((crossed_BD**2).sum())
    half_family = _jackknife_half_width(observed, np.tanh(of_family).ravel().tolist())
    half_dataset = _jackknife_half_width(observed, np.tanh(of_dataset).ravel().tolist())
    square = half_family**2 + half_dataset**2 - NORMAL_QUANTILE**2 * shared
    return math.sqrt(max(square, half_family**2, half_dataset**2))


def _left_out(array: GainArray, factor: Factor, observed: float, family: int, dataset: int) -> float:
    """Fisher's z of the mean correlation without one family, one dataset, or both; -1 leaves none out."""
    gain = array.gain
    if family >= 0:
        gain = np.delete(gain, family, axis=0)
    if dataset >= 0:
        gain = np.delete(gain, dataset, axis=1)
    found = _mean_correlation(double_centred(np.moveaxis(gain, FACTOR_AXES.index(factor), 0)))
    return _fisher(observed if found is None else found)


@dataclass(frozen=True)
class MantelTest:
    """Correlation of two matrices over the same `n` things, and its one-sided p-value."""

    correlation: float
    p: float
    n: int


def mantel(a_NN: Reals, b_NN: Reals, *, permutations: int = PERMUTATIONS, seed: int = 0) -> MantelTest | None:
    """Whether two symmetric matrices over the same things agree (Mantel 1967); None where either does not vary.

    Only what is above the diagonal counts. The p-value is the share of joint permutations of the rows and columns of
    one matrix that correlate at least as highly: pairs that share a thing are not independent.
    """
    observed = _upper_correlation(a_NN, b_NN)
    if observed is None:
        return None
    generator = np.random.default_rng(seed)
    hits = 0
    for _ in range(permutations):
        order_N = generator.permutation(len(a_NN))
        shuffled = _upper_correlation(a_NN[np.ix_(order_N, order_N)], b_NN)
        hits += shuffled is not None and shuffled >= observed - 1e-12
    return MantelTest(observed, (1 + hits) / (1 + permutations), len(a_NN))


def _upper_correlation(a_NN: Reals, b_NN: Reals) -> float | None:
    above = np.triu_indices(len(a_NN), k=1)
    return _correlation(a_NN[above], b_NN[above])


def _correlation(a: Reals, b: Reals) -> float | None:
    a, b = a.ravel() - a.mean(), b.ravel() - b.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return None if scale <= 1e-12 else min(1.0, max(-1.0, float(a @ b) / scale))


def _mean_correlation(table_LXY: Reals) -> float | None:
    flat = table_LXY.reshape(len(table_LXY), -1)
    norm_L = np.linalg.norm(flat, axis=1)
    flat = flat[norm_L > 1e-12] / norm_L[norm_L > 1e-12, None]
    if len(flat) < 2:
        return None
    correlation_LL = flat @ flat.T
    return float(correlation_LL[np.triu_indices(len(flat), k=1)].mean())


def _unit_axis(shape: tuple[int, ...], others: list[Factor]) -> int:
    """The axis whose levels count as independent: datasets or families, of which there are more; never benchmarks."""
    sizes = [0 if name == "benchmark" else size for name, size in zip(others, shape, strict=True)]
    return int(np.argmax(sizes))


def _permuted_axis(others: list[Factor]) -> int:
    return others.index("dataset") if "dataset" in others else others.index("base")


def _permuted_means(centred_LXY: Reals, axis: int, generator: np.random.Generator) -> Reals:
    """Mean correlation of all pairs of levels in every permuted copy, where the units of each level are permuted alone.

    Permuting keeps the tables centred and of their length, so that the mean follows from the length of their sum.
    """
    norm_L = np.linalg.norm(centred_LXY, axis=(1, 2))
    unit_LUV = np.moveaxis(centred_LXY[norm_L > 1e-12] / norm_L[norm_L > 1e-12, None, None], 1 + axis, 1)
    levels, units = unit_LUV.shape[:2]
    total_PUV = np.zeros((PERMUTATIONS, *unit_LUV.shape[1:]))
    for table_UV in unit_LUV:
        orders_PU = generator.permuted(np.tile(np.arange(units), (PERMUTATIONS, 1)), axis=1)
        total_PUV += table_UV[orders_PU]
    square_P = np.einsum("puv,puv->p", total_PUV, total_PUV)
    mean_P: Reals = (square_P - levels) / (levels * (levels - 1))
    return mean_P


def _permutation_p(a_XY: Reals, b_XY: Reals, axis: int, generator: np.random.Generator) -> float | None:
    """Both tables are centred, so that sums of products stand for correlations."""
    if _correlation(a_XY, b_XY) is None:
        return None
    moved_aUV, moved_bUV = np.moveaxis(a_XY, axis, 0), np.moveaxis(b_XY, axis, 0)
    product_UU = moved_aUV @ moved_bUV.T
    units = len(product_UU)
    orders_PU = generator.permuted(np.tile(np.arange(units), (PERMUTATIONS, 1)), axis=1)
    shuffled_P = product_UU[orders_PU, np.arange(units)].sum(axis=1)
    observed = float(np.trace(product_UU))
    return (1 + int((np.abs(shuffled_P) >= abs(observed) - 1e-12).sum())) / (1 + PERMUTATIONS)


def _reliability(centred_LXY: Reals, array: GainArray, axis: int) -> Reals | None:
    """Share of each level's double-centred variance that is not sampling noise; None where noise is unknown."""
    if array.noise is None:
        return None
    noise_LXY = np.moveaxis(array.noise, axis, 0)
    x, y = noise_LXY.shape[1:]
    left = (1 - 1 / x) * (1 - 1 / y)
    noise_L = noise_LXY.mean(axis=(1, 2)) * left
    total_L = (centred_LXY**2).mean(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        share_L = np.where(total_L > 0, 1 - noise_L / total_L, 0.0)
    return np.clip(share_L, 0.0, 1.0)


def _ceiling(reliability_L: Reals | None, a: int, b: int) -> float | None:
    if reliability_L is None:
        return None
    return math.sqrt(float(reliability_L[a] * reliability_L[b])) or None


def _jackknifed(pair_2XY: Reals, axis: int) -> Estimate | None:
    """Double-centred correlation of two tables; Fisher's z, leaving one unit out at a time (Student's t)."""
    centred = double_centred(pair_2XY)
    value = _correlation(centred[0], centred[1])
    if value is None:
        return None
    units = pair_2XY.shape[1 + axis]
    if units < FEWEST_UNITS:
        return Estimate(value, None, None, None, units)
    left_out = []
    for place in range(units):
        rest = double_centred(np.delete(pair_2XY, place, axis=1 + axis))
        other = _correlation(rest[0], rest[1])
        left_out.append(value if other is None else other)
    return _from_left_out(value, left_out, units)


def _from_left_out(value: float, left_out: list[float], units: int) -> Estimate:
    """Interval of a correlation from its values without each unit."""
    centre, half = _fisher(value), _jackknife_half_width(value, left_out)
    return Estimate(value, None, math.tanh(centre - half), math.tanh(centre + half), units)


def _jackknife_half_width(value: float, left_out: list[float]) -> float:
    """Half the width of a correlation's interval on Fisher's z: Tukey's jackknife with Student's t."""
    units = len(left_out)
    z_U = np.arctanh(np.clip(left_out, -0.999999, 0.999999))
    pseudo_U = units * _fisher(value) - (units - 1) * z_U
    return float(stats.t.isf(TAIL, units - 1)) * float(pseudo_U.std(ddof=1)) / math.sqrt(units)


def _fisher(value: float) -> float:
    return math.atanh(min(0.999999, max(-0.999999, value)))

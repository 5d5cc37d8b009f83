"""95 % intervals: of proportions, means and pooled ratios, paired or not, and of means over two crossed factors.

Every function returns an `Estimate`; what the data cannot give (a standard error of one value, say) is None, not 0.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

Reals = NDArray[np.float64]
Labels = NDArray[np.int64]

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2
SMALLEST_TAIL = 1e-200
NORMAL_QUANTILE = float(stats.norm.ppf((1 + CONFIDENCE) / 2))


@dataclass(frozen=True)
class VariancePart:
    """One independent source of uncertainty: its estimated variance and the degrees of freedom of that estimate."""

    variance: float
    df: float


@dataclass(frozen=True)
class Estimate:
    """A value, its standard error and 95 % interval, and the number `n` of independent units.

    `parts` are the sources of its variance; empty where there is no standard error.
    """

    value: float
    se: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    parts: tuple[VariancePart, ...] = ()

    @property
    def p(self) -> float | None:
        """Two-sided p-value of the value being 0: the level at which its interval (see `combined`) just reaches 0.

        None where there is no standard error. A standard error of 0 gives 1 for a value of 0 (all units agree that
        nothing changed) and 0 otherwise.
        """
        if not self.parts:
            return None
        size = abs(self.value)
        if size == 0.0 or self.se == 0.0:
            return 1.0 if size == 0.0 else 0.0
        if len(self.parts) == 1:
            return float(2 * special.stdtr(self.parts[0].df, -size / math.sqrt(self.parts[0].variance)))
        if half_width(self.parts, SMALLEST_TAIL) <= size:
            return 0.0
        log_tail = optimize.brentq(
            lambda log: half_width(self.parts, math.exp(log)) - size, math.log(SMALLEST_TAIL), math.log(0.5)
        )
        return float(2 * math.exp(log_tail))


def half_width(parts: tuple[VariancePart, ...], tail: float) -> float:
    """Half the width of an interval that leaves `tail` on each side: root of the sum of (t quantile x se) squared."""
    return math.hypot(*(math.sqrt(part.variance) * _t_quantile(part.df, tail) for part in parts))


def _t_quantile(df: float, tail: float) -> float:
    """Student's t at a lower tail. SciPy's has holes far out (df 2.047302365118256 at 1e-200): then its neighbour's."""
    found = float(special.stdtrit(df, tail))
    return found if math.isfinite(found) else float(special.stdtrit(df * (1 + 1e-9), tail))


def combined(value: float, *parts: VariancePart, n: int) -> Estimate:
    """A value with the interval of several independent sources of variance; without interval where there is none.

    Each source keeps the t quantile of its own degrees of freedom, and the squared half-widths add up (as in the
    modified large-sample method of Graybill & Wang 1980). One t with Satterthwaite's degrees of freedom would do in
    the middle, but with few units it rejects true nulls at small levels several times too often: where the variance
    between units comes out small by luck, it takes over the many degrees of freedom of the items.
    """
    if not parts:
        return Estimate(value, None, None, None, n)
    half = half_width(parts, TAIL)
    se = math.sqrt(sum(part.variance for part in parts))
    return Estimate(value, se, value - half, value + half, n, parts)


def mean(value_N: Reals) -> Estimate:
    """Mean of independent values with Student's t interval; differences of pairs give the paired interval."""
    n = len(value_N)
    assert n > 0
    centre = float(value_N.mean())
    if n < 2:
        return Estimate(centre, None, None, None, n)
    return combined(centre, VariancePart(float(value_N.var(ddof=1)) / n, n - 1), n=n)


def proportion(successes: int, n: int) -> Estimate:
    """Share of successes with Wilson's interval (Wilson 1927), which covers also near 0 and 1 and for few items.

    The standard error is that of the mean of zeros and ones (sample variance over n), None for a single item; the
    interval is not built from it.
    """
    assert 0 <= successes <= n
    assert n > 0
    share = successes / n
    low, high = wilson_ends(share, n, NORMAL_QUANTILE)
    if n < 2:
        return Estimate(share, None, low, high, n)
    part = VariancePart(share * (1 - share) / (n - 1), n - 1)
    return Estimate(share, math.sqrt(part.variance), low, high, n, (part,))


def wilson_ends(share: float, n: float, quantile: float) -> tuple[float, float]:
    """Ends of Wilson's interval of a share of n items, which need be no whole number where items hang together."""
    square = quantile * quantile / n
    centre = (share + square / 2) / (1 + square)
    half = quantile / (1 + square) * math.sqrt(share * (1 - share) / n + square / (4 * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def paired_proportion(gained: int, lost: int, n: int) -> Estimate:
    """Difference of two proportions on the same n items, `gained` and `lost` of which changed.

    Interval of Bonett & Price (2012): a Wald interval after adding one item to each kind of change. Student's t on the
    differences would be [0, 0] where no item changed, which no finite number of items can show.
    """
    assert n > 0
    assert min(gained, lost) >= 0
    difference = (gained - lost) / n
    low, high = bonett_price_ends((gained, lost), n, NORMAL_QUANTILE)
    if n < 2:
        return Estimate(difference, None, low, high, n)
    part = VariancePart(max(0.0, ((gained + lost) / n - difference**2) / (n - 1)), n - 1)
    return Estimate(difference, math.sqrt(part.variance), low, high, n, (part,))


def bonett_price_ends(changed: tuple[float, float], n: float, quantile: float) -> tuple[float, float]:
    """Ends of the interval of `paired_proportion` of n pairs, of which so many were gained and lost."""
    up, down = ((count + 1) / (n + 2) for count in changed)
    half = quantile * math.sqrt((up + down - (up - down) ** 2) / (n + 2))
    return max(-1.0, up - down - half), min(1.0, up - down + half)


def ratio(numerator_N: Reals, denominator_N: Reals) -> Estimate:
    """Sum over sum with the linearised (Taylor) interval of survey statistics (Cochran 1977, 6.4) and Student's t.

    Bits per byte pools items: its items are these pairs. With differences of two models as numerator and their common
    bytes as denominator it is the paired interval.
    """
    n = len(numerator_N)
    assert n == len(denominator_N)
    total = float(denominator_N.sum())
    assert total > 0
    value = float(numerator_N.sum()) / total
    if n < 2:
        return Estimate(value, None, None, None, n)
    residual_N = numerator_N - value * denominator_N
    return combined(value, VariancePart(n / (n - 1) * float(residual_N @ residual_N) / total**2, n - 1), n=n)


def not_negative(estimate: Estimate) -> Estimate:
    """The estimate of a quantity that is never below 0, such as a code length or a norm: nor is its interval."""
    low = estimate.ci_low
    return estimate if low is None else replace(estimate, ci_low=max(0.0, low))


def within(estimate: Estimate, bounds: tuple[float, float]) -> Estimate:
    """The estimate of a mean whose values lie within bounds: so does its interval."""
    if estimate.ci_low is None or estimate.ci_high is None:
        return estimate
    return replace(estimate, ci_low=max(bounds[0], estimate.ci_low), ci_high=min(bounds[1], estimate.ci_high))


def clustered_mean(value_N: Reals, cluster_N: Labels) -> Estimate:
    """Mean of the cluster means with Student's t interval over clusters; `n` counts clusters."""
    _, place_N = np.unique(cluster_N, return_inverse=True)
    return mean(np.bincount(place_N, weights=value_N) / np.bincount(place_N))


def two_way_mean(value_N: Reals, row_N: Labels, column_N: Labels) -> Estimate:
    """Mean of one value per cell of two crossed random factors, such as base families x datasets.

    Its variance is that of the random-effects model: MS_rows + MS_columns - MS_residual, over the number of cells, each
    mean square at least the residual one; degrees of freedom after Satterthwaite (1946), and at least those of the
    factor with fewer levels. Percentile bootstraps over
    both factors cover far less than they say with three to seven levels. Cells may be missing: the mean squares are
    then those of row and column sums of the deviations, and the residual that of the additive fit. A factor with a
    single level adds nothing, and the interval speaks of that level only. `n` counts cells.
    """
    n = len(value_N)
    assert n > 0
    rows, row_N = np.unique(row_N, return_inverse=True)
    columns, column_N = np.unique(column_N, return_inverse=True)
    assert len(np.unique(row_N * len(columns) + column_N)) == n, "one value per cell"
    centre = float(value_N.mean())
    deviation_N = value_N - centre
    row_square = _mean_square(deviation_N, row_N)
    column_square = _mean_square(deviation_N, column_N)
    residual_square, residual_df = _residual_mean_square(value_N, row_N, column_N)
    if row_square is None and column_square is None:
        return Estimate(centre, None, None, None, n)
    if row_square is None or column_square is None:
        square = row_square if row_square is not None else column_square
        assert square is not None
        levels = max(len(rows), len(columns))
        return combined(centre, VariancePart(square / n, levels - 1), n=n)
    row_square, column_square = max(row_square, residual_square), max(column_square, residual_square)
    total = row_square + column_square - residual_square
    parts = row_square**2 / (len(rows) - 1) + column_square**2 / (len(columns) - 1)
    if residual_df > 0:
        parts += residual_square**2 / residual_df
    least_df = min(len(rows), len(columns)) - 1
    df = max(least_df, total**2 / parts) if parts > 0 else least_df
    return combined(centre, VariancePart(total / n, df), n=n)


def _mean_square(deviation_N: Reals, place_N: Labels) -> float | None:
    """Variance between the sums of a factor's levels, in units of one cell; None where there is one level."""
    sums = np.bincount(place_N, weights=deviation_N)
    levels = len(sums)
    return None if levels < 2 else float(sums @ sums) * levels / (levels - 1) / len(deviation_N)


def _residual_mean_square(value_N: Reals, row_N: Labels, column_N: Labels) -> tuple[float, int]:
    rows, columns = int(row_N.max()) + 1, int(column_N.max()) + 1
    design_NP = np.hstack([np.eye(rows)[row_N], np.eye(columns)[column_N]])
    coefficient_P, _, rank, _ = np.linalg.lstsq(design_NP, value_N, rcond=None)
    df = len(value_N) - int(rank)
    if df < 1:
        return 0.0, 0
    residual_N = value_N - design_NP @ coefficient_P
    return float(residual_N @ residual_N) / df, df


def correlation(x_N: Reals, y_N: Reals, *, n: int, ranked: bool = False) -> Estimate | None:
    """Pearson's correlation (Spearman's where `ranked`) with Fisher's z interval for `n` independent units.

    `n` may be smaller than the number of points, where points of one cluster are not independent. Values that differ by
    no more than rounding are tied in rank; Spearman's standard error is that of Bonett & Wright (2000), and its z no
    further out than `correlation_p` says. None where a variable does not vary; no interval for n < 4. `se` is left out
    because the interval is not symmetric: see `correlation_p` for the test.
    """
    assert len(x_N) == len(y_N)
    if len(x_N) < 2:
        return None
    if ranked:
        x_N, y_N = _ranks(x_N), _ranks(y_N)
    x_N, y_N = x_N - x_N.mean(), y_N - y_N.mean()
    scale = math.sqrt(float(x_N @ x_N) * float(y_N @ y_N))
    if scale <= 1e-300:
        return None
    value = min(1.0, max(-1.0, float(x_N @ y_N) / scale))
    if n < 4:
        return Estimate(value, None, None, None, n)
    centre, half = _fisher(value, n, ranked=ranked), NORMAL_QUANTILE * _fisher_error(value, n, ranked=ranked)
    low, high = math.tanh(centre - half), math.tanh(centre + half)
    return Estimate(value, None, min(low, value), max(high, value), n)


def _ranks(value_N: Reals) -> Reals:
    """Ranks, ties at their mean; rounding errors of the largest value make no order."""
    step = 1e-10 * float(np.abs(value_N).max())
    ranks_N: Reals = stats.rankdata(np.round(value_N / step) if step > 0 else value_N)
    return ranks_N


def correlation_p(estimate: Estimate, *, ranked: bool = False) -> float | None:
    """Two-sided p-value of no correlation; None for n < 4.

    Of Pearson's by Student's t, which is exact: Fisher's z, good enough for an interval, rejects at the small levels of
    a correction twice as often as it says where there are eight units. Of Spearman's from the z of its interval, and
    never below 2 / n!, the chance of the one or the other perfect order of n units: t and z alone take a perfect order
    of four for impossible by chance.
    """
    if estimate.ci_low is None:
        return None
    if not ranked:
        size, df = abs(estimate.value), estimate.n - 2
        return float(2 * special.stdtr(df, -size * math.sqrt(df / max(1e-300, 1 - size**2))))
    z = _fisher(estimate.value, estimate.n, ranked=True) / _fisher_error(estimate.value, estimate.n, ranked=True)
    return float(2 * stats.norm.sf(abs(z)))


def _fisher(value: float, n: int, *, ranked: bool) -> float:
    z = math.atanh(min(1 - 1e-15, max(-1 + 1e-15, value)))
    if not ranked:
        return z
    most = float(stats.norm.isf(math.exp(-math.lgamma(n + 1)))) * _fisher_error(value, n, ranked=True)
    return min(most, max(-most, z))


def _fisher_error(value: float, n: int, *, ranked: bool) -> float:
    return math.sqrt((1 + value**2 / 2 if ranked else 1.0) / (n - 3))

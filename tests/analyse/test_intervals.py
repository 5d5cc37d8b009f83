"""Intervals against independent references, and their coverage of planted values."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from sftlab.analyse import intervals


@settings(deadline=None)
@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_proportion_equals_wilson_of_statsmodels(counts):
    successes, n = counts
    estimate = intervals.proportion(successes, n)
    assert (estimate.ci_low, estimate.ci_high) == pytest.approx(
        proportion_confint(successes, n, method="wilson"), abs=1e-12
    )


def test_proportion_se_is_that_of_the_mean_of_zeros_and_ones():
    values = np.array([1.0] * 7 + [0.0] * 13)
    assert intervals.proportion(7, 20).se == pytest.approx(stats.sem(values))
    assert intervals.proportion(1, 1).se is None


def test_mean_equals_student_interval_of_statsmodels():
    values = np.random.default_rng(0).normal(2.0, 3.0, 17)
    estimate = intervals.mean(values)
    reference = DescrStatsW(values)
    assert (estimate.ci_low, estimate.ci_high) == pytest.approx(reference.tconfint_mean())
    assert estimate.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert estimate.n == 17


def test_mean_of_one_value_has_no_interval():
    estimate = intervals.mean(np.array([0.3]))
    assert (estimate.value, estimate.se, estimate.ci_low, estimate.ci_high, estimate.p) == (0.3, None, None, None, None)


def test_zero_spread_is_certain_only_of_what_it_shows():
    assert intervals.mean(np.zeros(5)).p == 1.0
    assert intervals.mean(np.full(5, 0.25)).p == 0.0


def test_ratio_of_unit_weights_is_the_mean():
    values = np.random.default_rng(1).normal(size=30)
    pooled, plain = intervals.ratio(values, np.ones(30)), intervals.mean(values)
    assert (pooled.value, pooled.se, pooled.ci_low) == pytest.approx((plain.value, plain.se, plain.ci_low))


def test_ratio_se_agrees_with_bootstrap():
    random = np.random.default_rng(2)
    sizes = random.integers(5, 60, 400).astype(float)
    bits = sizes * random.gamma(4.0, 0.5, 400)
    draws = random.integers(0, 400, (4000, 400))
    reference = (bits[draws].sum(axis=1) / sizes[draws].sum(axis=1)).std()
    assert intervals.ratio(bits, sizes).se == pytest.approx(reference, rel=0.06)


def test_paired_proportion_reaches_zero_width_never_and_agrees_with_mcnemar():
    unchanged = intervals.paired_proportion(0, 0, 50)
    assert unchanged.value == 0.0
    assert unchanged.ci_low < 0.0 < unchanged.ci_high
    sure, unsure = intervals.paired_proportion(30, 5, 200), intervals.paired_proportion(12, 9, 200)
    assert mcnemar([[0, 30], [5, 0]], exact=True).pvalue < 0.05
    assert sure.ci_low > 0
    assert mcnemar([[0, 12], [9, 0]], exact=True).pvalue > 0.05
    assert unsure.ci_low < 0 < unsure.ci_high


def test_paired_proportion_covers_the_planted_difference():
    random = np.random.default_rng(3)
    gained, lost = random.binomial(40, 0.15, 3000), 0
    hits = 0
    for up in gained:
        lost = random.binomial(40 - up, 0.05 / 0.85)
        estimate = intervals.paired_proportion(int(up), int(lost), 40)
        hits += estimate.ci_low <= 0.10 <= estimate.ci_high
    assert hits / len(gained) >= 0.94


def test_clustered_mean_counts_clusters():
    values, clusters = np.array([1.0, 3.0, 5.0, 9.0, 9.0]), np.array([0, 0, 1, 2, 2])
    estimate, reference = intervals.clustered_mean(values, clusters), intervals.mean(np.array([2.0, 5.0, 9.0]))
    assert estimate == reference


def test_two_way_mean_uses_the_mean_squares_of_anova():
    random = np.random.default_rng(4)
    rows, columns = np.repeat(np.arange(5), 4), np.tile(np.arange(4), 5)
    values = random.normal(size=5)[rows] * 2 + random.normal(size=4)[columns] * 2 + random.normal(size=20)
    fitted = ols("y ~ C(r) + C(c)", data=pd.DataFrame({"y": values, "r": rows, "c": columns})).fit()
    squares = anova_lm(fitted)["sum_sq"] / anova_lm(fitted)["df"]
    by_row, by_column, residual = squares["C(r)"], squares["C(c)"], squares["Residual"]
    assert min(by_row, by_column) > residual
    estimate = intervals.two_way_mean(values, rows, columns)
    total = by_row + by_column - residual
    assert estimate.se == pytest.approx(math.sqrt(total / 20))
    assert estimate.parts[0].df == pytest.approx(total**2 / (by_row**2 / 4 + by_column**2 / 3 + residual**2 / 12))


def test_two_way_mean_with_one_level_is_the_interval_over_the_other():
    values = np.array([1.0, 2.0, 4.0, 3.0])
    estimate = intervals.two_way_mean(values, np.zeros(4, dtype=np.int64), np.arange(4))
    reference = intervals.mean(values)
    assert (estimate.ci_low, estimate.ci_high) == pytest.approx((reference.ci_low, reference.ci_high))
    alone = intervals.two_way_mean(values[:1], np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
    assert alone.ci_low is None


@pytest.mark.parametrize("families", [2, 3, 4, 6])
@pytest.mark.parametrize("spreads", [(1.0, 1.0, 1.0), (1.0, 0.1, 0.5), (0.1, 1.0, 0.5), (0.0, 0.0, 1.0)])
def test_two_way_mean_covers_the_planted_effect(families, spreads):
    assert coverage(families, spreads, missing=0) >= 0.92


@pytest.mark.parametrize("spreads", [(1.0, 1.0, 1.0), (1.0, 0.1, 0.5), (0.1, 1.0, 0.5)])
def test_two_way_mean_covers_with_missing_cells(spreads):
    assert coverage(4, spreads, missing=3) >= 0.92


def test_two_way_mean_has_the_degrees_of_freedom_of_one_factor_at_least():
    estimate = intervals.two_way_mean(np.array([0.3, 0.1, 0.1, 0.31]), np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))
    assert estimate.parts[0].df == 1.0


def coverage(families, spreads, *, missing, studies=400):
    random, truth, hits = np.random.default_rng(families), 0.4, 0
    for _ in range(studies):
        kept = np.sort(random.permutation(families * 4)[missing:])
        rows, columns = kept // 4, kept % 4
        of_row, of_column = random.normal(0, spreads[0], families), random.normal(0, spreads[1], 4)
        values = truth + of_row[rows] + of_column[columns] + random.normal(0, spreads[2], len(kept))
        estimate = intervals.two_way_mean(values, rows, columns)
        hits += estimate.ci_low <= truth <= estimate.ci_high
    return hits / studies


def test_mean_covers_the_planted_value():
    random = np.random.default_rng(5)
    estimates = [intervals.mean(random.normal(1.0, 2.0, 8)) for _ in range(2000)]
    assert np.mean([one.ci_low <= 1.0 <= one.ci_high for one in estimates]) >= 0.93


@pytest.mark.parametrize("n", [4, 8, 40])
def test_correlation_p_is_that_of_scipy(n):
    random = np.random.default_rng(n)
    x, y = random.normal(size=(2, n))
    assert intervals.correlation_p(intervals.correlation(x, y, n=n)) == pytest.approx(stats.pearsonr(x, y).pvalue)
    assert intervals.correlation_p(intervals.correlation(x, 2 * x, n=n)) == pytest.approx(0.0, abs=1e-10)


@pytest.mark.parametrize("n", [4, 5, 6, 7])
def test_ranks_in_perfect_order_are_as_likely_by_chance_as_permutations_say(n):
    order = np.arange(float(n))
    perfect = intervals.correlation(order, order, n=n, ranked=True)
    assert (perfect.value, perfect.ci_high) == (1.0, 1.0)
    assert intervals.correlation_p(perfect, ranked=True) == pytest.approx(2 / math.factorial(n))
    assert (perfect.ci_low > 0) == (2 / math.factorial(n) < 0.05)
    orders = itertools.permutations(order)
    p_values = [
        intervals.correlation_p(intervals.correlation(order, np.array(one), n=n, ranked=True), ranked=True)
        for one in orders
    ]
    for level in (0.05, 0.01):
        assert np.mean(np.array(p_values) <= level) <= 1.2 * level


def test_values_that_differ_by_rounding_alone_are_tied_in_rank():
    x = np.array([0.1 + 0.2, 0.3, 0.7, 1.1, 0.3, -0.4])
    y = np.array([2.0, 3.0, 5.0, 4.0, 1.0, 0.0])
    assert x[0] != x[1]
    found = intervals.correlation(x, y, n=6, ranked=True)
    assert found.value == pytest.approx(stats.spearmanr(np.round(x, 6), y).statistic)
    assert intervals.correlation(1e9 * x, y, n=6, ranked=True).value == pytest.approx(found.value)


@pytest.mark.parametrize("df", [1, 3, 8])
@pytest.mark.parametrize("ratio", [0.1, 1.0, 10.0, 100.0])
def test_combined_rejects_true_nulls_no_more_often_than_it_says(df, ratio):
    random = np.random.default_rng(df)
    p_values = []
    for _ in range(1500):
        items = intervals.VariancePart(random.chisquare(99) / 99, 99)
        seeds = intervals.VariancePart(ratio * random.chisquare(df) / df, df)
        p_values.append(intervals.combined(random.normal(0, math.sqrt(1 + ratio)), items, seeds, n=100).p)
    for level in (0.05, 0.008):
        assert np.mean(np.array(p_values) <= level) <= level + 3 * math.sqrt(level / 1500)


def test_combined_p_is_the_level_at_which_the_interval_reaches_zero():
    parts = (intervals.VariancePart(0.04, 3.0), intervals.VariancePart(0.01, 50.0))
    half = intervals.half_width(parts, 0.025)
    assert intervals.combined(half, *parts, n=4).p == pytest.approx(0.05)
    assert intervals.combined(half, *parts, n=4).ci_low == pytest.approx(0.0)
    alone = intervals.combined(1.3, parts[0], n=4)
    assert alone.p == pytest.approx(2 * stats.t.sf(1.3 / 0.2, 3))
    with_nothing = intervals.combined(1.3, parts[0], intervals.VariancePart(0.0, 9.0), n=4)
    assert with_nothing.p == pytest.approx(alone.p)


def test_correlation_equals_fisher_interval_of_scipy():
    random = np.random.default_rng(7)
    x = random.normal(size=25)
    y = x + random.normal(size=25)
    estimate, reference = intervals.correlation(x, y, n=25), stats.pearsonr(x, y)
    assert estimate.value == pytest.approx(reference.statistic)
    assert (estimate.ci_low, estimate.ci_high) == pytest.approx(tuple(reference.confidence_interval()))
    ranked = intervals.correlation(x, y, n=25, ranked=True)
    assert ranked.value == pytest.approx(stats.spearmanr(x, y).statistic)


def test_correlation_of_minus_six_tenths_over_ten_datasets_is_hardly_known():
    random = np.random.default_rng(8)
    x, noise = random.normal(size=10), random.normal(size=10)
    x -= x.mean()
    noise -= noise.mean() + x * (noise @ x) / (x @ x)
    y = -0.6 * x / np.linalg.norm(x) + 0.8 * noise / np.linalg.norm(noise)
    estimate = intervals.correlation(x, y, n=10)
    assert (estimate.value, estimate.ci_low, estimate.ci_high) == pytest.approx((-0.6, -0.894, 0.048), abs=2e-3)


def test_correlation_of_a_constant_is_unknown_and_few_units_have_no_interval():
    assert intervals.correlation(np.ones(5), np.arange(5.0), n=5) is None
    estimate = intervals.correlation(np.arange(3.0), np.array([1.0, 3.0, 2.0]), n=3)
    assert estimate.ci_low is None
    assert intervals.correlation_p(estimate) is None


@settings(deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=4, max_size=30))
def test_correlation_interval_holds_its_value(values):
    y = np.array(values)
    estimate = intervals.correlation(np.arange(float(len(y))), y, n=len(y))
    if estimate is not None:
        assert estimate.ci_low <= estimate.value + 1e-9
        assert estimate.value - 1e-9 <= estimate.ci_high


def test_interval_of_a_code_length_does_not_reach_below_zero():
    wide = intervals.ratio(np.array([40.0, 1.0, 1.0]), np.array([1.0, 1.0, 1.0]))
    assert wide.ci_low is not None
    assert wide.ci_low < 0
    kept = intervals.not_negative(wide)
    assert (kept.ci_low, kept.ci_high, kept.se) == (0.0, wide.ci_high, wide.se)
    single = intervals.ratio(np.array([2.0]), np.array([1.0]))
    assert intervals.not_negative(single) == single


def test_p_is_known_also_at_degrees_of_freedom_where_scipys_quantile_is_not():
    p_at, p_beside = (
        intervals.combined(0.5, intervals.VariancePart(0.01, df), intervals.VariancePart(0.002, 39), n=3).p
        for df in (2.047302365118256, 2.0473)
    )
    assert p_at == pytest.approx(p_beside, rel=1e-4)


def test_the_interval_of_a_bounded_mean_keeps_to_its_bounds():
    found = intervals.mean(np.array([0.9, 1.0, 0.95, 0.2]))
    assert found.ci_high > 1.0
    kept = intervals.within(found, (0.0, 1.0))
    assert (kept.value, kept.se, kept.ci_high) == (found.value, found.se, 1.0)
    assert kept.ci_low == found.ci_low
    assert intervals.within(intervals.mean(np.array([0.5])), (0.0, 1.0)).ci_low is None

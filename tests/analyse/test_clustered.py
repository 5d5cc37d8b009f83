"""Intervals over clusters of items against statsmodels, bootstraps over clusters, and planted shares."""

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy import stats

from sftlab.analyse import intervals
from sftlab.analyse.clustered import clustered_paired_proportion, clustered_proportion, clustered_ratio
from sftlab.analyse.comparing.models import Model
from sftlab.analyse.comparing.pairs import paired_scores
from sftlab.analyse.gain_sets import gain_sets
from sftlab.analyse.item_scores import gain_estimate, score_estimate, shared_clusters
from sftlab.analyse.item_tables import influences_of_items
from sftlab.analyse.schemas import ITEMS, SCORES, conformed, from_rows


def passages(random, count, *, spread):
    """Right or wrong answers to one to five questions on each passage, whose difficulty varies between passages."""
    sizes = random.integers(1, 6, count)
    chance = np.clip(random.normal(0.6, spread, count), 0.02, 0.98)
    cluster = np.repeat(np.arange(count), sizes)
    return (random.random(len(cluster)) < chance[cluster]).astype(float), cluster


def bootstrap_se(numerator, denominator, cluster):
    """Standard deviation of the pooled ratio over draws of whole clusters."""
    random = np.random.default_rng(1)
    sums, sizes = np.bincount(cluster, weights=numerator), np.bincount(cluster, weights=denominator)
    draws = random.integers(0, len(sums), (4000, len(sums)))
    return (sums[draws].sum(axis=1) / sizes[draws].sum(axis=1)).std()


def test_clustered_mean_of_items_is_the_cluster_robust_regression_on_a_constant():
    right, cluster = passages(np.random.default_rng(0), 60, spread=0.3)
    fitted = sm.OLS(right, np.ones(len(right))).fit(cov_type="cluster", cov_kwds={"groups": cluster}, use_t=True)
    estimate = clustered_ratio(right, np.ones(len(right)), cluster)
    assert estimate.value == pytest.approx(fitted.params[0]) == right.mean()
    assert estimate.se == pytest.approx(fitted.bse[0])
    assert (estimate.ci_low, estimate.ci_high) == pytest.approx(tuple(fitted.conf_int()[0]))
    assert estimate.n == 60


def test_clustered_ratio_agrees_with_a_bootstrap_over_clusters():
    random = np.random.default_rng(2)
    cluster = np.repeat(np.arange(150), random.integers(1, 6, 150))
    sizes = random.integers(5, 60, len(cluster)).astype(float)
    bits = sizes * random.gamma(4.0, 0.5, 150)[cluster]
    estimate = clustered_ratio(bits, sizes, cluster)
    assert estimate.se == pytest.approx(bootstrap_se(bits, sizes, cluster), rel=0.06)
    assert estimate.se > 1.3 * intervals.ratio(bits, sizes).se


def test_singletons_know_what_independent_items_know():
    right, _ = passages(np.random.default_rng(3), 40, spread=0.2)
    alone = clustered_proportion(right, np.arange(len(right)))
    plain = intervals.proportion(int(right.sum()), len(right))
    assert (alone.value, alone.se) == pytest.approx((plain.value, plain.se))
    assert (alone.ci_low, alone.ci_high) == pytest.approx((plain.ci_low, plain.ci_high), abs=0.004)


def test_copies_of_an_item_add_nothing():
    right = (np.random.default_rng(4).random(80) < 0.7).astype(float)
    copied = clustered_proportion(np.repeat(right, 5), np.repeat(np.arange(80), 5))
    alone = clustered_proportion(right, np.arange(80))
    assert (copied.value, copied.se) == pytest.approx((alone.value, alone.se))
    assert (copied.ci_low, copied.ci_high) == pytest.approx((alone.ci_low, alone.ci_high), abs=0.002)


def test_clustered_proportion_covers_the_planted_share_where_wilson_does_not():
    random = np.random.default_rng(5)
    hits = {"clustered": 0, "wilson": 0}
    for _ in range(600):
        chance = random.choice([0.15, 0.95], 40)
        cluster = np.repeat(np.arange(40), 8)
        right = (random.random(320) < chance[cluster]).astype(float)
        for name, found in (
            ("clustered", clustered_proportion(right, cluster)),
            ("wilson", intervals.proportion(int(right.sum()), 320)),
        ):
            hits[name] += found.ci_low <= 0.55 <= found.ci_high
    assert hits["clustered"] / 600 >= 0.93
    assert hits["wilson"] / 600 < 0.75


def test_all_right_is_as_sure_as_its_clusters():
    few = clustered_proportion(np.ones(50), np.repeat(np.arange(5), 10))
    assert few.value == few.ci_high == 1.0
    assert few.ci_low < intervals.proportion(5, 5).ci_low < intervals.proportion(50, 50).ci_low
    assert clustered_proportion(np.ones(4), np.zeros(4, dtype=np.int64)).ci_low == intervals.proportion(1, 1).ci_low


def test_clustered_pairs_agree_with_a_bootstrap_and_never_have_zero_width():
    random = np.random.default_rng(6)
    cluster = np.repeat(np.arange(100), 4)
    moved = random.choice([-1.0, 0.0, 1.0], 100, p=[0.1, 0.6, 0.3])[cluster]
    estimate = clustered_paired_proportion(moved, cluster)
    assert estimate.se == pytest.approx(bootstrap_se(moved, np.ones(400), cluster), rel=0.06)
    assert estimate.ci_high - estimate.ci_low == pytest.approx(2 * 1.984 * estimate.se, rel=0.05)
    unchanged = clustered_paired_proportion(np.zeros(50), np.repeat(np.arange(10), 5))
    assert unchanged.ci_low < intervals.paired_proportion(0, 0, 50).ci_low < 0.0 < unchanged.ci_high


def test_items_without_a_cluster_are_clusters_of_their_own():
    rows = pl.DataFrame({"cluster": ["p", None, "p", None, "q"]})
    labels = shared_clusters(rows)
    assert labels[0] == labels[2]
    assert len(set(labels.tolist())) == 4
    assert shared_clusters(rows.slice(1)) is None


@pytest.mark.parametrize("metric", ["accuracy", "squad_f1", "bits_per_byte"])
def test_scores_and_gains_are_clustered_where_items_share_a_passage(metric):
    random = np.random.default_rng(7)
    names = np.repeat([f"p{number}" for number in range(30)], 4)
    tuned, base = (random.choice([0.0, 1.0], 30)[np.repeat(np.arange(30), 4)] for _ in range(2))
    if metric != "accuracy":
        tuned, base = tuned + random.random(120) / 8, base + random.random(120) / 8
    frame = pl.DataFrame({"cluster": names, "numerator": tuned, "weight": np.ones(120), "tuned": tuned, "base": base})
    pairs = frame.with_columns(numerator=pl.col("tuned") - pl.col("base"))
    for estimated, rows in ((score_estimate, frame), (gain_estimate, pairs)):
        shared = estimated(rows, metric)
        alone = estimated(rows.with_columns(cluster=pl.lit(None, dtype=pl.String())), metric)
        assert shared.value == pytest.approx(alone.value)
        assert 1.8 < shared.se / alone.se < 2.2
        assert shared.ci_high - shared.ci_low > 1.5 * (alone.ci_high - alone.ci_low)


def test_gains_of_sets_and_comparisons_go_over_clusters_too():
    random = np.random.default_rng(8)
    names = [f"p{number // 4}" for number in range(80)]
    of_model = {
        "base-e0": random.choice([0.0, 1.0], 20)[np.repeat(np.arange(20), 4)],
        "run-e1": random.choice([0.0, 1.0], 20)[np.repeat(np.arange(20), 4)],
    }
    items = pl.concat(
        conformed(
            pl.DataFrame({"score": score, "cluster": names}).with_columns(
                checkpoint=pl.lit(checkpoint), benchmark=pl.lit("b"), item=pl.int_range(pl.len()).cast(pl.String()),
                scorer=pl.lit("likelihood"), metric=pl.lit("accuracy"), status=pl.lit("done"),
            ),
            ITEMS,
        )
        for checkpoint, score in of_model.items()
    )  # fmt: skip
    gain = float(of_model["run-e1"].mean() - of_model["base-e0"].mean())
    common = {"base": "base", "family": "f", "benchmark": "b", "scorer": "likelihood", "metric": "accuracy"}
    common |= {"main": True}
    scores = from_rows(
        [
            {**common, "checkpoint": "base-e0", "dataset": "none", "epoch": 0, "value": 0.5, "status": "done"},
            {**common, "checkpoint": "run-e1", "run": "run", "dataset": "d", "epoch": 1, "value": 0.5, "gain": gain,
             "method": "full", "status": "done"},
        ],
        SCORES,
    )  # fmt: skip
    change = of_model["run-e1"] - of_model["base-e0"]
    expected = clustered_paired_proportion(change, np.repeat(np.arange(20), 4))
    exact = stats.binomtest(int((change > 0).sum()), int((change != 0).sum())).pvalue
    for known, clusters in ((items, 20), (items.with_columns(cluster=pl.lit(None, dtype=pl.String())), 80)):
        (one,) = gain_sets(scores, influences_of_items(scores, known))
        found = one.of_these_bases(np.ones(1))
        compared = paired_scores(
            scores, known, Model("run", "base", "run", 1, "run-e1"), Model("base", "base", None, 0, "base-e0")
        ).row(0, named=True)
        assert found.n == clusters
        assert compared["n"] == 80
        assert (found.se == pytest.approx(expected.se, rel=1e-4)) is (clusters == 20)
        assert (compared["se"] == pytest.approx(expected.se)) is (clusters == 20)
        assert compared["p"] == pytest.approx(max(exact, expected.p) if clusters == 20 else exact)

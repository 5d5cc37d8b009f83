"""Agreement, components and variance shares against independent computations and planted effects."""

import itertools

import numpy as np
import polars as pl
import pytest
import statsmodels.formula.api as smf
from sklearn.decomposition import PCA
from statsmodels.stats.anova import anova_lm

from sftlab.analyse.agreement import agreements, mantel, mean_agreement
from sftlab.analyse.components import components
from sftlab.analyse.consistency import EVERYWHERE, HURTS_EVERYWHERE, HURTS_ON_AVERAGE, MIXED, consistency_frame
from sftlab.analyse.gain_array import GainArray, gain_array
from sftlab.analyse.gain_sets import GainSet
from sftlab.analyse.synergy import synergy
from sftlab.analyse.variance_shares import variance_shares


def array_of(gain, noise=None, families=None):
    b, d, k = gain.shape
    bases = tuple(f"b{place}" for place in range(b))
    return GainArray(
        bases=bases,
        families=families or bases,
        datasets=tuple(f"d{place}" for place in range(d)),
        benchmarks=tuple(f"k{place}" for place in range(k)),
        gain=gain,
        noise=noise,
    )


def drawn(seed, shape, **spread):
    """Gains of a crossed random-effects model; `spread` names sources by letters of b, d, k."""
    generator = np.random.default_rng(seed)
    gain = np.zeros(shape)
    for source, sd in spread.items():
        size = [shape["bdk".index(axis)] if axis in source else 1 for axis in "bdk"]
        gain = gain + sd * generator.normal(size=size)
    return gain


def gain_set(rows, benchmark="k0"):
    frame = pl.DataFrame(rows).with_columns(
        method=pl.lit("full"),
        learning_rate=pl.lit(1e-4),
        batch_size=pl.lit(8),
        samples=pl.lit(100),
        schedule=pl.lit("constant"),
        epochs=pl.lit(1),
        fixed_steps=pl.lit(None, dtype=pl.Int64),
    )
    return GainSet((benchmark, "likelihood", "accuracy"), main=True, rows=frame)


def test_agreement_equals_a_correlation_of_tables_centred_by_hand():
    gain = drawn(0, (3, 6, 5), dk=1.0, bdk=0.7)
    found = agreements(array_of(gain), "base")
    a, b = gain[0], gain[2]
    a = a - a.mean(0) - a.mean(1, keepdims=True) + a.mean()
    b = b - b.mean(0) - b.mean(1, keepdims=True) + b.mean()
    pair = next(one for one in found if (one.level, one.other) == ("b0", "b2"))
    assert pair.estimate.value == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1], abs=1e-12)
    assert pair.raw == pytest.approx(np.corrcoef(gain[0].ravel(), gain[2].ravel())[0, 1], abs=1e-12)


def test_agreement_ignores_what_base_and_benchmark_alone_explain():
    gain = drawn(1, (4, 8, 6), k=5.0, d=3.0, bdk=1.0)
    for pair in agreements(array_of(gain), "base"):
        assert pair.raw > 0.8
        assert abs(pair.estimate.value) < 0.5
    assert mean_agreement(array_of(gain), "base")[1] > 0.01


def test_shared_synergy_is_found():
    estimate, p = mean_agreement(array_of(drawn(2, (4, 8, 6), dk=1.0, bdk=0.5)), "base")
    assert p == 1 / 2000
    assert estimate.ci_low > 0.3
    assert estimate.value == pytest.approx(1 / 1.25, abs=0.15)


@pytest.mark.parametrize("factor", ["base", "dataset", "benchmark"])
def test_chance_alone_rarely_agrees(factor):
    hits = [mean_agreement(array_of(drawn(seed, (3, 5, 4), bdk=1.0)), factor)[1] <= 0.05 for seed in range(60)]
    assert sum(hits) <= 9  # of 60 at 5 %: more has a chance of 0.2 %


def test_disattenuated_correlation_undoes_known_noise():
    truth = drawn(3, (2, 60, 40), dk=1.0)
    noise = np.random.default_rng(4).normal(size=truth.shape)
    pair = agreements(array_of(truth + noise, np.ones(truth.shape)), "base")[0]
    assert pair.estimate.value == pytest.approx(0.5, abs=0.05)
    assert pair.ceiling == pytest.approx(0.5, abs=0.05)
    assert pair.disattenuated == pytest.approx(1.0, abs=0.06)


def test_interval_of_agreement_covers_the_truth():
    covered = 0
    for seed in range(200):
        pair = agreements(array_of(drawn(seed, (2, 10, 6), dk=1.0, bdk=1.0)), "base")[0]
        covered += pair.estimate.ci_low <= 0.5 <= pair.estimate.ci_high
    assert covered >= 176  # 92 % of 200, less two standard errors


def test_mantel_equals_brute_force_over_all_permutations():
    generator = np.random.default_rng(5)
    a, b = (generator.normal(size=(5, 5)) for _ in range(2))
    a, b = a + a.T, b + b.T
    above = np.triu_indices(5, 1)
    observed = np.corrcoef(a[above], b[above])[0, 1]
    exact = np.mean(
        [
            np.corrcoef(a[np.ix_(order, order)][above], b[above])[0, 1] >= observed - 1e-12
            for order in map(list, itertools.permutations(range(5)))
        ]
    )
    found = mantel(a, b, permutations=4000)
    assert found.correlation == pytest.approx(observed, abs=1e-12)
    assert found.p == pytest.approx(exact, abs=0.03)


def test_mantel_of_a_constant_matrix_is_unknown():
    assert mantel(np.ones((4, 4)), np.ones((4, 4))) is None


def test_components_equal_those_of_scikit_learn():
    gain = drawn(6, (3, 8, 5), dk=1.0, bdk=0.5, b=3.0)
    rows = (gain - gain.mean(1, keepdims=True)).reshape(-1, 5)
    reference = PCA().fit(rows / rows.std(0))
    found = components(array_of(gain))
    assert found.share == pytest.approx(reference.explained_variance_ratio_, abs=1e-12)
    assert np.abs(found.loading) == pytest.approx(np.abs(reference.components_), abs=1e-9)
    assert found.needed == int(np.searchsorted(np.cumsum(reference.explained_variance_ratio_), 0.9) + 1)


def test_components_of_gains_that_share_nothing_do_not_stand_out():
    beyond = [components(array_of(drawn(seed, (4, 10, 8), bdk=1.0)), seed=seed).real for seed in range(40)]
    assert np.mean([one > 0 for one in beyond]) <= 0.125  # 2.5 % expected


def test_one_planted_pattern_is_one_component():
    generator = np.random.default_rng(7)
    gain = generator.normal(size=(3, 10, 1)) * generator.uniform(1, 2, 6) + 0.3 * generator.normal(size=(3, 10, 6))
    found = components(array_of(gain))
    assert found.real == 1
    assert found.needed < found.null_needed_low
    assert (found.loading[0] > 0).all()


def test_variance_components_equal_those_of_anova():
    gain = drawn(8, (4, 5, 6), b=1.0, d=0.5, k=2.0, bd=0.7, dk=1.0, bdk=0.4)
    rows = [
        {"b": f"b{b}", "d": f"d{d}", "k": f"k{k}", "y": gain[b, d, k]}
        for b, d, k in itertools.product(*map(range, gain.shape))
    ]
    table = anova_lm(smf.ols("y ~ (b + d + k) ** 2", pl.DataFrame(rows).to_pandas()).fit(), typ=1)
    square = (table["sum_sq"] / table["df"]).to_dict()
    expected = {
        "dataset x benchmark": (square["d:k"] - square["Residual"]) / 4,
        "base x dataset": (square["b:d"] - square["Residual"]) / 6,
        "base": (square["b"] - square["b:d"] - square["b:k"] + square["Residual"]) / 30,
        "benchmark": (square["k"] - square["b:k"] - square["d:k"] + square["Residual"]) / 20,
    }
    found = {one.source: one.variance for one in variance_shares(array_of(gain))}
    for source, variance in expected.items():
        assert found[source] == pytest.approx(max(0.0, variance), abs=1e-9)


def test_known_noise_is_told_from_the_threefold_interaction():
    gain = drawn(9, (10, 12, 12), bdk=1.0)
    shares = {one.source: one.share.value for one in variance_shares(array_of(gain, np.full(gain.shape, 0.25)))}
    assert shares["items and seeds"] == pytest.approx(0.25, abs=0.05)
    assert sum(shares.values()) == pytest.approx(1.0)


def test_interval_of_a_share_needs_four_families():
    few, more = (variance_shares(array_of(drawn(10, (size, 6, 5), dk=1.0, bdk=1.0))) for size in (3, 4))
    assert all(one.share.ci_low is None for one in few)
    assert all(one.share.ci_low <= one.share.value <= one.share.ci_high for one in more)


@pytest.mark.parametrize(("b", "d"), [(0.14, 0.45), (0.45, 0.14)])
def test_intervals_of_the_shares_of_base_and_dataset_hold_the_truth(b, d):
    spread = {"b": b, "d": d, "bd": 0.14, "bk": 0.45, "dk": 0.55, "bdk": 0.55}
    total = sum(sd**2 for sd in spread.values())
    held = {"base": 0, "dataset": 0}
    for seed in range(60):
        shares = {one.source: one.share for one in variance_shares(array_of(drawn(seed, (6, 8, 5), **spread)))}
        for source, sd in (("base", b), ("dataset", d)):
            held[source] += shares[source].ci_low <= sd**2 / total <= shares[source].ci_high
    assert min(held.values()) >= 0.92 * 60


def test_bases_of_one_family_are_one_unit():
    gain = drawn(11, (4, 6, 5), dk=1.0, bdk=1.0)
    array = array_of(gain, families=("x", "x", "y", "z")).by_family()
    assert array.bases == ("x", "y", "z")
    assert array.gain[0] == pytest.approx(gain[:2].mean(0))


def test_array_is_complete_without_the_level_that_misses_most():
    rows = [
        {"base": base, "family": base, "dataset": dataset, "gain": float(place)}
        for place, (base, dataset) in enumerate(itertools.product("ABC", ["d0", "d1", "d2"]))
        if (base, dataset) not in {("C", "d1"), ("C", "d2")}
    ]
    found = gain_array([gain_set(rows)])
    assert (found.bases, found.datasets) == (("A", "B"), ("d0", "d1", "d2"))
    assert found.left_out == ("C",)


def test_what_helps_everywhere_is_told_from_what_helps_some():
    generator = np.random.default_rng(12)
    gains = {"always": 0.2 + 0.01 * generator.normal(size=6), "never": 0.1 * np.array([1, -1, 1, -1, 1, -1])}
    rows = [
        {"base": f"b{place}", "family": f"b{place}", "dataset": name, "gain": float(value)}
        for name, values in gains.items()
        for place, value in enumerate(values)
    ]
    found = {row["dataset"]: row for row in consistency_frame([gain_set(rows)]).to_dicts()}
    assert found["always"]["holds"] == EVERYWHERE
    assert found["always"]["new_low"] > 0
    assert found["never"]["new_low"] < 0 < found["never"]["new_high"]
    assert found["never"]["holds"] != EVERYWHERE


def test_what_hurts_everywhere_is_named():
    generator = np.random.default_rng(12)
    gains = {
        "harms": -0.2 + 0.01 * generator.normal(size=6),
        "costs": np.array([-0.2, -0.1, -0.02, -0.15, -0.12, -0.05]),
        "nothing": 0.1 * np.array([1, -1, 1, -1, 1, -1]),
    }
    rows = [
        {"base": f"b{place}", "family": f"b{place}", "dataset": name, "gain": float(value)}
        for name, values in gains.items()
        for place, value in enumerate(values)
    ]
    found = synergy([gain_set(rows)], {})
    holds = dict(found.frames["consistency"].select("dataset", "holds").iter_rows())
    assert holds == {"harms": HURTS_EVERYWHERE, "costs": HURTS_ON_AVERAGE, "nothing": "cannot tell"}
    said = {finding.subject: finding.text for finding in found.findings}
    assert said[HURTS_EVERYWHERE] == "Hurts everywhere (a new family like these would lose too): harms on k0."
    assert said[HURTS_ON_AVERAGE] == "Hurts on average over families like these: costs on k0."


def test_families_that_surely_gain_and_lose_are_mixed(planted_analysis):
    frame = planted_analysis.consistency
    assert frame.height > 0
    for row in frame.to_dicts():
        assert (row["holds"] == MIXED) == (row["helped"] > 0 and row["hurt"] > 0)


def test_study_of_one_base_says_that_it_is_too_small():
    rows = [{"base": "A", "family": "A", "dataset": f"d{place}", "gain": float(place)} for place in range(3)]
    found = synergy([gain_set(rows)], {})
    assert any("Too small to tell how base and data interact" in finding.text for finding in found.findings)


def test_mean_agreement_holds_that_of_new_families_and_datasets(monkeypatch):
    monkeypatch.setattr("sftlab.analyse.agreement.PERMUTATIONS", 9)
    hits = 0
    for seed in range(80):
        estimate, _ = mean_agreement(array_of(drawn(seed, (8, 8, 4), dk=1.0, bdk=1.0, b=0.3)), "base")
        hits += estimate.ci_low <= 0.5 <= estimate.ci_high
    assert hits / 80 >= 0.9


def test_mean_agreement_of_few_families_has_no_interval():
    estimate, p = mean_agreement(array_of(drawn(0, (3, 8, 6), dk=1.0, bdk=0.5)), "base")
    assert (estimate.ci_low, estimate.ci_high) == (None, None)
    assert p <= 0.05
    of_benchmarks, _ = mean_agreement(array_of(drawn(0, (5, 5, 2), bd=1.0, bdk=0.5)), "benchmark")
    assert of_benchmarks.ci_low < of_benchmarks.value < of_benchmarks.ci_high


def test_agreement_that_is_sure_of_those_tried_alone_is_told_as_that():
    """Some families share a pattern that the others lack: no chance, and yet another may be of either kind."""
    gain = drawn(3, (5, 10, 8), bdk=0.3)
    gain[:3] += drawn(4, (1, 10, 8), dk=1.0)
    estimate, p = mean_agreement(array_of(gain), "base")
    assert (p <= 0.01, estimate.ci_low <= 0 <= estimate.ci_high) == (True, True)
    found = synergy(sets_of(gain), {})
    (text,) = [finding.text for finding in found.findings if finding.subject == "base"]
    assert "agree beyond chance" in text
    assert text.endswith("so that whether they would agree cannot be told.")
    explained = [finding.text for finding in found.findings if finding.subject == "agreement"]
    assert len(explained) == 1
    assert "either may be sure without the other" in explained[0]


def test_agreement_without_an_interval_needs_no_word_on_the_difference():
    found = synergy(sets_of(drawn(5, (2, 3, 3), dk=1.0, bdk=0.5)), {})
    assert not any(finding.subject == "agreement" for finding in found.findings)


def sets_of(gain):
    """A gain set for each benchmark of an array of gains."""
    bases, datasets, benchmarks = (range(size) for size in gain.shape)
    return [
        gain_set(
            [
                {"base": f"b{base}", "family": f"b{base}", "dataset": f"d{data}", "gain": float(gain[base, data, at])}
                for base in bases
                for data in datasets
            ],
            benchmark=f"k{at}",
        )
        for at in benchmarks
    ]

"""Partial correlations against statsmodels, and whether the strongest property is found as surely as is said."""

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm

from sftlab.analyse.partial import (
    partial_correlation,
    partial_correlations_frame,
    strongest_property_frame,
    strongest_sentences,
)

METRIC = {"benchmark": "b", "scorer": "generative", "metric": "exact_match", "main": True, "unit": "share"}


def points_of(values: dict[str, np.ndarray], gain_BD: np.ndarray) -> pl.DataFrame:
    """Points of properties (each bases x datasets), every base a family."""
    rows = [
        {**METRIC, "property": name, "base": f"b{base}", "family": f"f{base}", "dataset": f"d{dataset}"}
        | {"value": float(value_BD[base, dataset]), "gain": float(gain_BD[base, dataset])}
        for name, value_BD in values.items()
        for base in range(gain_BD.shape[0])
        for dataset in range(gain_BD.shape[1])
    ]
    return pl.DataFrame(rows)


def scores_of(base_scores: np.ndarray) -> pl.DataFrame:
    rows = [
        {**METRIC, "base": f"b{base}", "dataset": "none", "value": float(value)}
        for base, value in enumerate(base_scores)
    ]
    return pl.DataFrame(rows)


def test_partial_correlation_equals_that_of_statsmodels_residuals():
    rng = np.random.default_rng(1)
    controls = rng.normal(size=(40, 2))
    x, y = controls @ [1.0, -2.0] + rng.normal(size=40), controls @ [0.5, 3.0] + rng.normal(size=40)
    design = sm.add_constant(controls)
    left = [sm.OLS(value, design).fit().resid for value in (x, y)]
    found = partial_correlation(x, y, design, n=38)
    assert found.value == pytest.approx(np.corrcoef(*left)[0, 1])
    slope = sm.OLS(y, np.column_stack([design, x])).fit()
    from_t = slope.tvalues[-1] / np.sqrt(slope.tvalues[-1] ** 2 + slope.df_resid)
    assert found.value == pytest.approx(from_t)


def test_frame_accounts_for_base_score_and_length():
    rng = np.random.default_rng(2)
    shape = (6, 9)
    base_score, length = rng.normal(size=6), np.tile(rng.normal(size=9), (6, 1))
    x = rng.normal(size=shape) + length + base_score[:, None]
    gain = 2 * length - base_score[:, None] + 0.5 * rng.normal(size=shape)
    points = points_of({"response_perplexity": x, "response_tokens": length}, gain)
    found = partial_correlations_frame(points, scores_of(base_score))
    row = found.row(
        by_predicate=(pl.col("scope") == "across") & (pl.col("property") == "response_perplexity"), named=True
    )
    design = sm.add_constant(np.column_stack([np.repeat(base_score, 9), length.ravel()]))
    left = [sm.OLS(value.ravel(), design).fit().resid for value in (x, gain)]
    assert row["correlation"] == pytest.approx(np.corrcoef(*left)[0, 1])
    assert row["given"] == "base score, length"
    assert row["n"] == 6 - 2
    within = found.row(
        by_predicate=(pl.col("scope") == "within") & (pl.col("property") == "response_perplexity"), named=True
    )
    levels = np.column_stack([np.kron(np.eye(6), np.ones((9, 1))), length.ravel()])
    left = [sm.OLS(value.ravel(), levels).fit().resid for value in (x, gain)]
    assert within["correlation"] == pytest.approx(np.corrcoef(*left)[0, 1])
    assert within["n"] == 9 - 1


def test_a_property_that_only_follows_length_has_no_partial_correlation():
    rng = np.random.default_rng(3)
    length = np.tile(rng.normal(size=200), (3, 1))
    x, gain = length + rng.normal(size=(3, 200)), length + rng.normal(size=(3, 200))
    found = partial_correlations_frame(
        points_of({"similarity": x, "response_tokens": length}, gain), scores_of(np.zeros(3))
    )
    row = found.row(by_predicate=(pl.col("scope") == "within") & (pl.col("property") == "similarity"), named=True)
    assert abs(row["correlation"]) < 0.1
    assert row["ci_low"] < 0 < row["ci_high"]


def test_length_is_not_accounted_for_by_itself():
    rng = np.random.default_rng(4)
    length = rng.normal(size=(4, 6))
    found = partial_correlations_frame(points_of({"response_tokens": length}, length), scores_of(rng.normal(size=4)))
    assert found["given"].to_list() == ["base score"]


def strongest_of(rng: np.random.Generator, strengths: dict[str, float], datasets: int) -> pl.DataFrame:
    signal = rng.normal(size=datasets)
    values = {
        name: np.tile(share * signal + np.sqrt(1 - share**2) * rng.normal(size=datasets), (4, 1))
        for name, share in strengths.items()
    }
    return strongest_property_frame(points_of(values, np.tile(signal, (4, 1)) + 0.01 * rng.normal(size=(4, datasets))))


def test_a_planted_property_is_surely_the_strongest():
    found = strongest_of(np.random.default_rng(5), {"a": 0.98, "b": 0.1, "c": 0.0}, datasets=20)
    assert found.filter("in_set")["property"].to_list() == ["a"]
    assert found.row(0, named=True)["led"] == 1.0
    assert "a is the strongest of 3 properties" in strongest_sentences(found)["b"]


@pytest.mark.parametrize(
    ("in_set", "said"),
    [
        ((True, True, True), "any of 3 properties may be the strongest (95 % confidence); a is ahead"),
        ((True, True, False), "the strongest of 3 properties is one of 2 (95 % confidence); a is ahead"),
    ],
)
def test_properties_that_may_be_the_strongest_are_counted(in_set, said):
    found = strongest_of(np.random.default_rng(8), {"a": 0.98, "b": 0.3, "c": 0.0}, datasets=20)
    assert said in strongest_sentences(found.with_columns(pl.Series("in_set", in_set)))["b"]


@pytest.mark.parametrize(
    ("strengths", "best"), [({"a": 0.8, "b": 0.4, "c": 0.0}, "a"), ({"a": 0.5, "b": 0.5, "c": 0.5, "d": 0.5}, "a")]
)
def test_confidence_set_holds_the_strongest_in_95_of_100_studies(strengths, best):
    rng = np.random.default_rng(6)
    held = sum(
        best in strongest_of(rng, strengths, datasets=10).filter("in_set")["property"].to_list() for _ in range(100)
    )
    assert held >= 92


def test_few_datasets_give_no_set():
    found = strongest_of(np.random.default_rng(7), {"a": 0.9, "b": 0.1}, datasets=4)
    assert found["in_set"].to_list() == [None, None]
    assert strongest_sentences(found) == {}

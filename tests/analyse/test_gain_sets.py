"""Whom the intervals of gains speak of, and what the number of items does to them."""

import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from sftlab.analyse.answers import analysis
from sftlab.analyse.gain_sets import FACTORS, GainSet
from tests.analyse.synthetic import Design, source_of_intervals, write


def two_bases_of_unequal_items(first, second):
    """A gain of each of two bases, the first compared on some items, the second on others (both right or wrong)."""
    rows = pl.DataFrame(
        {
            "run": ["a", "b"],
            "base": ["base-a", "base-b"],
            "family": ["base-a", "base-b"],
            "dataset": ["d", "d"],
            **{name: ["same", "same"] for name in FACTORS},
            "gain": [float(first.mean()), float(second.mean())],
        }
    )
    pull_RI = np.full((2, len(first) + len(second)), np.nan, dtype=np.float32)
    pull_RI[0, : len(first)] = (first - first.mean()) / len(first)
    pull_RI[1, len(first) :] = (second - second.mean()) / len(second)
    return GainSet(("bench", "likelihood", "accuracy"), True, rows, pull_RI, binary=True)


def test_each_base_brings_the_sampling_variance_of_its_own_number_of_items():
    first, second = np.array([1.0, 0, 0, 1, -1, 0, 1, 0, 1, 1, 0, 0]), np.array([1.0, -1, 0, 1])
    estimate = two_bases_of_unequal_items(first, second).of_these_bases(np.array([0.5, 0.5]))
    expected = (first.var(ddof=1) / 12 + second.var(ddof=1) / 4) / 4
    assert estimate.se**2 == pytest.approx(expected, rel=1e-6)
    assert estimate.ci_low == pytest.approx(estimate.value - stats.t.ppf(0.975, 3) * math.sqrt(expected), rel=1e-6)


def test_base_that_fits_one_item_leaves_the_mean_without_interval():
    gain_set = two_bases_of_unequal_items(np.array([1.0, 0, 0, 1, -1, 0]), np.array([1.0]))
    both = gain_set.of_these_bases(np.array([0.5, 0.5]))
    assert (both.value, both.se, both.ci_low, both.p) == (pytest.approx(0.5 * 1 / 6 + 0.5), None, None, None)
    assert gain_set.of_these_bases(np.array([1.0, 0.0])).ci_low is not None


def test_intervals_of_several_bases_say_where_they_come_from(tmp_path):
    unrepeated = source_of_intervals(analysis(*write(Design(bases=3, seeds=1, items=20), tmp_path / "one")))
    repeated = source_of_intervals(analysis(*write(Design(bases=3, seeds=2, items=20), tmp_path / "two")))
    assert "of these very models" in unrepeated
    assert "repeated seeds" in repeated
    assert "of these very models" not in repeated

"""Corrections against statsmodels, and what they do to chance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from sftlab.analyse.multiplicity import benjamini_hochberg, holm, holm_within_families

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


@settings(max_examples=40, deadline=None)
@given(P_VALUES)
def test_holm_equals_statsmodels(p_values):
    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(P_VALUES)
def test_benjamini_hochberg_equals_statsmodels(p_values):
    assert benjamini_hochberg(p_values) == pytest.approx(list(multipletests(p_values, method="fdr_bh")[1]), abs=1e-9)


def test_no_p_values_give_none():
    assert holm([]) == []
    assert benjamini_hochberg([]) == []
    assert holm_within_families([[], []]) == [[], []]


def test_one_family_is_plain_holm():
    assert holm_within_families([[0.01, 0.04, 0.2]]) == [pytest.approx(holm([0.01, 0.04, 0.2]))]


def test_families_rarely_find_anything_by_chance():
    random = np.random.default_rng(0)
    studies = [holm_within_families(random.uniform(size=(3, 6)).tolist()) for _ in range(2000)]
    found = [min(min(family) for family in study) <= 0.05 for study in studies]
    assert np.mean(found) <= 0.06


def test_a_strong_family_does_not_lend_its_strength_to_others():
    strong, weak = holm_within_families([[1e-6, 1e-6], [0.03, 0.6]])
    pooled = benjamini_hochberg([1e-6, 1e-6, 0.03, 0.6])
    assert max(strong) <= 0.05
    assert pooled[2] <= 0.05 < min(weak)

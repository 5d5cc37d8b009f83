"""Which examples share a pass."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftlab.lm.kernel import Kernel
from sftlab.lm.packed_attention import PACKED
from sftlab.lm.product_attention import PRODUCTS

_LENGTHS = st.lists(st.integers(1, 50), max_size=40)


@pytest.mark.parametrize("kernel", [Kernel(), Kernel(PRODUCTS, 0), Kernel(PACKED)])
@given(lengths=_LENGTHS, budget=st.integers(1, 200))
def test_passes_hold_every_example_once_within_the_budget(kernel, lengths, budget):
    groups = kernel.groups(np.array(lengths, dtype=np.int64), budget)
    assert sorted(number for group in groups for number in group) == list(range(len(lengths)))
    for group in groups:
        of_group = [lengths[number] for number in group]
        tokens = sum(of_group) if kernel.packed else len(of_group) * max(of_group)
        assert len(group) == 1 or tokens <= budget


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(0, 40), st.integers(20, 120))
def test_padded_passes_cost_no_more_than_any_other_parting(lengths, pass_tokens, budget):
    ordered = sorted(lengths, reverse=True)

    def cost(groups):
        return sum(len(group) * max(group) + pass_tokens for group in groups)

    def legal(groups):
        return all(len(group) == 1 or len(group) * max(group) <= budget for group in groups)

    cuts = range(1, len(ordered))
    partings = [
        [ordered[a:b] for a, b in itertools.pairwise((0, *chosen, len(ordered)))]
        for k in range(len(ordered))
        for chosen in itertools.combinations(cuts, k)
    ]
    found = Kernel(None, pass_tokens).groups(np.array(lengths, dtype=np.int64), budget)
    assert cost([[lengths[number] for number in group] for group in found]) == min(map(cost, filter(legal, partings)))


def test_costly_passes_are_few_and_cheap_ones_waste_nothing():
    lengths = np.array([10, 100, 10, 100])
    assert len(Kernel(None, 1000).groups(lengths, 10_000)) == 1
    assert [sorted(group) for group in Kernel(None, 0).groups(lengths, 10_000)] == [[1, 3], [0, 2]]

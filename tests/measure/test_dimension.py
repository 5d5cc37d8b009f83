"""TwoNN against scikit-dimension, and on points of a known dimension."""

import numpy as np
import pytest
from skdim.id import TwoNN

from sftlab.measure.dimension import DISCARD_FRACTION, twonn


@pytest.mark.parametrize(("count", "dimension", "width"), [(50, 2, 8), (300, 5, 40), (194, 9, 30)])
def test_dimension_equals_scikit_dimension(count, dimension, width):
    generator = np.random.default_rng(count)
    points = generator.normal(size=(count, dimension)) @ generator.normal(size=(dimension, width))
    witness = TwoNN(discard_fraction=DISCARD_FRACTION).fit(points).dimension_
    assert twonn(points).dimension == pytest.approx(witness, rel=1e-9)


def test_equal_points_are_one_point_and_counted():
    points = np.random.default_rng(0).normal(size=(60, 4))
    doubled = twonn(np.concatenate([points, points[:7]]))
    assert doubled.duplicates == 7
    assert (doubled.n, doubled.dimension) == (60, twonn(points).dimension)


def test_interval_covers_the_dimension_of_a_torus():
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(100):
        angles = generator.uniform(0, 2 * np.pi, size=(200, 2))
        found = twonn(np.concatenate([np.cos(angles), np.sin(angles)], axis=1))
        covered += found.ci_low <= 2 <= found.ci_high
    assert covered >= 88


def test_too_few_points_have_no_dimension():
    found = twonn(np.ones((30, 3)))
    assert (found.dimension, found.ci_low, found.n, found.duplicates) == (None, None, 1, 29)

"""Confidence sets of which statistic, and of which depth, is the largest hold it as often as they say."""

import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from sftlab.analyse.gain_sets import GainSet
from sftlab.analyse.largest import jackknife_error, may_be_largest
from sftlab.analyse.layers import Profile, layer_change_frame, layer_correlations_frame

FAMILIES, DATASETS = 4, 8
STUDIES = 60


def profile_of(change_FDL: np.ndarray) -> Profile:
    families, datasets, depths = change_FDL.shape
    grid = np.indices((families, datasets)).reshape(2, -1)
    rows = pl.DataFrame(
        {
            "run": [f"r{place}" for place in range(grid.shape[1])],
            "base": [f"b{place}" for place in grid[0]],
            "family": [f"b{place}" for place in grid[0]],
            "dataset": [f"d{place}" for place in grid[1]],
        }
    ).with_columns(
        method=pl.lit("full"),
        learning_rate=pl.lit(1e-4),
        batch_size=pl.lit(8),
        samples=pl.lit(100),
        schedule=pl.lit("constant"),
        epochs=pl.lit(1),
        fixed_steps=pl.lit(None, dtype=pl.Int64),
    )
    at = tuple(place / (depths - 1) for place in range(depths))
    return Profile("full", "all", at, rows, change_FDL.reshape(-1, depths))


def gains_of(profile: Profile, gain_FD: np.ndarray) -> GainSet:
    return GainSet(
        ("k", "likelihood", "bits_per_byte"), True, profile.rows.with_columns(gain=pl.Series(gain_FD.ravel()))
    )


def test_set_of_the_largest_equals_pairwise_tests_one_by_one():
    random = np.random.default_rng(0)
    value_P, without_UP = random.normal(0, 0.2, 6), random.normal(0, 0.01, (7, 6))
    expected = []
    for place in range(6):
        surely_less = False
        for other in set(range(6)) - {place}:
            left_U = without_UP[:, other] - without_UP[:, place]
            error = math.sqrt(6 / 7 * sum((one - left_U.mean()) ** 2 for one in left_U))
            more = value_P[other] - value_P[place]
            surely_less |= more > 0 and more > stats.t.isf(0.05 / 5, 6) * error
        expected.append(not surely_less)
    assert may_be_largest(value_P, without_UP) == expected
    assert 0 < sum(expected) < 6
    assert jackknife_error(without_UP[:, 0]) == pytest.approx(6 / math.sqrt(7) * without_UP[:, 0].std(ddof=1))


def test_depths_near_the_peak_of_change_hold_the_true_one():
    random, depths, held = np.random.default_rng(1), 24, []
    for _ in range(STUDIES):
        change = 1 + 0.1 * random.normal(size=(FAMILIES, 1, depths)) + 0.1 * random.normal(size=(1, DATASETS, depths))
        change = change + 0.1 * random.normal(size=(FAMILIES, DATASETS, depths))
        change[..., 5] += 0.005
        held.append(layer_change_frame([profile_of(change)])["near_peak"][5])
    assert np.mean(held) >= 0.95


def test_depths_near_the_strongest_correlation_hold_the_true_one():
    random, depths, held = np.random.default_rng(2), 6, []
    for _ in range(STUDIES):
        gain_D = random.normal(size=(1, DATASETS))
        true_L = np.array([-0.55] * (depths - 1) + [0.6])
        own_DL = random.normal(size=(1, DATASETS, depths))
        change = 5 + true_L * gain_D[..., None] + np.sqrt(1 - true_L**2) * own_DL
        profile = profile_of(change + 0.2 * random.normal(size=(FAMILIES, DATASETS, depths)))
        gain_FD = gain_D + 0.2 * random.normal(size=(FAMILIES, DATASETS))
        found = layer_correlations_frame([profile], [gains_of(profile, gain_FD)]).filter(divided_by_total=False)
        strongest = int(found["correlation"].abs().arg_max())
        assert found["near_peak"][strongest]
        held.append(found["near_peak"][depths - 1])
    assert np.mean(held) >= 0.95


def test_a_depth_that_surely_goes_with_gain_most_stands_alone_and_few_datasets_tell_nothing():
    random = np.random.default_rng(3)
    gain_FD = np.tile(random.normal(size=20), (FAMILIES, 1))
    change = random.normal(size=(FAMILIES, 20, 3))
    change[..., 1] = -gain_FD + 0.05 * change[..., 1]
    profile = profile_of(5 + change)
    found = layer_correlations_frame([profile], [gains_of(profile, gain_FD)])
    assert found.filter(divided_by_total=False)["near_peak"].to_list() == [False, True, False]
    few = profile_of(5 + change[:, :4])
    found = layer_correlations_frame([few], [gains_of(few, gain_FD[:, :4])])
    assert found["near_peak"].null_count() == found.height

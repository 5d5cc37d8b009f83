"""What each predictor says of worlds whose truth is known."""

import numpy as np
import pytest

from sftlab.predict.gain_table import GainTable
from sftlab.predict.left_out import folds
from sftlab.predict.predictor import Predicted
from sftlab.predict.predictors import PREDICTORS
from tests.predict.worlds import World, drawn


def told(table: GainTable, name: str, *, base: int) -> Predicted:
    """Predictions of one predictor that sees nothing of a base's gains."""
    left_out = np.zeros(table.gain.shape[:2], dtype=bool)
    left_out[base] = True
    return PREDICTORS[name].fit(table.without(left_out))


def additive_world(**changes: object) -> GainTable:
    return drawn(World(**{"interaction_sd": 0.0, "noise_sd": 0.0, "seed": 3, **changes}))


@pytest.mark.parametrize("name", ["mean_of_other_bases", "nearest_base", "mixed_model"])
def test_order_of_an_additive_world_is_recovered_for_a_new_base(name: str) -> None:
    table = additive_world()
    found = told(table, name, base=2)
    for k in range(3):
        assert np.argsort(found.gain[2, :, k]).tolist() == np.argsort(table.gain[2, :, k]).tolist()


@pytest.mark.parametrize("name", ["mean_of_other_bases", "mixed_model"])
def test_gap_in_an_additive_world_is_filled_exactly(name: str) -> None:
    table = additive_world()
    left_out = np.zeros(table.gain.shape[:2], dtype=bool)
    left_out[1, [0, 5]] = True
    found = PREDICTORS[name].fit(table.without(left_out))
    np.testing.assert_allclose(found.gain[1, [0, 5]], table.gain[1, [0, 5]], atol=0.02)


def test_mean_of_other_bases_is_the_plain_mean_over_families_of_the_others() -> None:
    table = drawn(World(bases=5, per_family=2, seed=1))
    found = told(table, "mean_of_other_bases", base=4)
    by_family = np.array([table.gain[:2].mean(axis=0), table.gain[2:4].mean(axis=0)])
    np.testing.assert_allclose(found.gain[4], by_family.mean(axis=0), atol=1e-12)


def test_mean_of_other_bases_takes_levels_out_where_cells_are_missing() -> None:
    table = additive_world(bases=4, datasets=5)
    gaps = np.zeros((4, 5), dtype=bool)
    gaps[[0, 1], [0, 3]] = True
    gaps[3] = True
    found = PREDICTORS["mean_of_other_bases"].fit(table.without(gaps))
    order = found.gain[3] - found.gain[3].mean(axis=0)
    np.testing.assert_allclose(order, table.gain[3] - table.gain[3].mean(axis=0), atol=1e-6)


def test_length_finds_the_slope_that_gain_has_on_it() -> None:
    table = additive_world(dataset_sd=0.0, slope=0.2)
    left_out = np.zeros(table.gain.shape[:2], dtype=bool)
    left_out[:, [2, 6]] = True
    found = PREDICTORS["length"].fit(table.without(left_out))
    np.testing.assert_allclose(found.gain[:, [2, 6]], table.gain[:, [2, 6]], atol=1e-9)


def test_base_score_tells_levels_and_no_order() -> None:
    table = additive_world(bases=6, dataset_sd=0.0, benchmarks=2)
    level = table.gain.mean(axis=1)
    score = np.column_stack([level[:, 1], level[:, 0]])  # each benchmark's level is told by the other's score
    found = told(GainTable(**{**vars_of(table), "base_score": score}), "base_score", base=0)
    np.testing.assert_allclose(found.gain[0], table.gain[0], atol=1e-9)
    assert np.ptp(found.gain[0], axis=0).max() == 0.0


def vars_of(table: GainTable) -> dict[str, object]:
    names = ("bases", "families", "datasets", "units", "scales", "gain", "noise", "base_score", "properties")
    return {name: getattr(table, name) for name in names}


def test_nearest_base_follows_the_base_with_the_same_scores() -> None:
    table = drawn(World(kinds=3, bases=6, seed=2))
    twin = (0 + 3) % 6
    found = told(table, "nearest_base", base=0)
    for k in range(3):
        assert np.argsort(found.gain[0, :, k]).tolist() == np.argsort(table.gain[twin, :, k]).tolist()


def squared_error(name: str, worlds: list[GainTable]) -> float:
    errors = []
    for table in worlds:
        found = told(table, name, base=0)
        apart = found.gain[0] - table.gain[0]
        errors.append(((apart - apart.mean(axis=0)) ** 2).mean())
    return float(np.mean(errors))


def test_mixed_model_beats_the_mean_of_the_others_where_alike_bases_gain_alike() -> None:
    worlds = [drawn(World(bases=8, datasets=8, kinds=2, dataset_sd=0.03, seed=seed)) for seed in range(12)]
    assert squared_error("mixed_model", worlds) < 0.75 * squared_error("mean_of_other_bases", worlds)


def test_mixed_model_beats_the_mean_of_the_others_within_a_family() -> None:
    """A family of which one base was tried, among families that like other data."""
    gained = {"mixed_model": [], "mean_of_other_bases": []}
    for seed in range(12):
        table = drawn(World(bases=8, per_family=2, kinds=4, dataset_sd=0.03, seed=seed))
        paired = GainTable(**{**vars_of(table), "families": tuple(f"family{b % 4}" for b in range(8))})
        for name, errors in gained.items():
            found = told(paired, name, base=0)
            apart = found.gain[0] - table.gain[0]
            errors.append(((apart - apart.mean(axis=0)) ** 2).mean())
    assert np.mean(gained["mixed_model"]) < 0.75 * np.mean(gained["mean_of_other_bases"])


def test_mixed_model_is_nearer_the_effects_of_data_where_benchmarks_share_what_helps() -> None:
    """Three noisy bases tell them; twenty others stand for the truth."""
    spec = {"bases": 24, "datasets": 10, "benchmarks": 8, "shared": 0.95, "dataset_sd": 0.06, "interaction_sd": 0.1}
    errors: dict[str, list[float]] = {"mixed_model": [], "mean_of_other_bases": []}
    for seed in range(6):
        table = drawn(World(**spec, seed=seed))
        truth = table.gain[4:].mean(axis=0)
        for name, found in errors.items():
            apart = told(table.of_bases(np.arange(24) < 4), name, base=0).gain[0] - truth
            found.append(float(((apart - apart.mean(axis=0)) ** 2).mean()))
    assert np.mean(errors["mixed_model"]) < 0.6 * np.mean(errors["mean_of_other_bases"])


def test_mixed_model_learns_of_new_data_from_their_length() -> None:
    table = drawn(World(slope=0.2, dataset_sd=0.02, interaction_sd=0.02, seed=4))
    fold = folds(table, "new_dataset")[0]
    found = PREDICTORS["mixed_model"].fit(table.without(fold.left_out))
    error = (found.gain - table.gain)[fold.left_out]
    assert np.sqrt((error**2).mean()) < 0.06


@pytest.mark.parametrize("question", ["new_base", "gap", "new_dataset"])
def test_intervals_of_the_mixed_model_cover_what_they_say(question: str) -> None:
    """Over worlds of four to eight bases and six to ten datasets: 95 of 100 that were left out, but for chance."""
    designs = [(4, 6), (5, 8), (6, 10), (8, 7)]
    shares = []
    for seed in range(120):
        bases, datasets = designs[seed % 4]
        table = drawn(World(bases=bases, datasets=datasets, benchmarks=1 + seed % 3, slope=0.05, seed=seed))
        fold = folds(table, question)[seed % 3]
        found = PREDICTORS["mixed_model"].fit(table.without(fold.left_out))
        shares.append((np.abs(found.gain - table.gain) <= found.half_width)[fold.left_out].mean())
    assert 0.93 <= np.mean(shares) <= 0.99


@pytest.mark.parametrize("question", ["new_base", "new_dataset"])
def test_intervals_of_the_mixed_model_cover_where_level_and_effect_leave_next_to_nothing(question: str) -> None:
    """Bases and datasets vary 300 times as much as what is left of a gain; a new one may lie anywhere among them."""
    shares = []
    for seed in range(40):
        table = drawn(World(slope=0.01, interaction_sd=0.004, noise_sd=0.004, seed=seed))
        fold = folds(table, question)[seed % 3]
        found = PREDICTORS["mixed_model"].fit(table.without(fold.left_out))
        shares.append((np.abs(found.gain - table.gain) <= found.half_width)[fold.left_out].mean())
    assert np.mean(shares) >= 0.88


@pytest.mark.parametrize("name", PREDICTORS)
def test_no_predictor_sees_what_is_left_out(name: str) -> None:
    """Gains that are left out, and their noise, may be anything: what is told of them stays the same."""
    table = drawn(World(slope=0.1, missing=0.1, seed=7))
    for question in ("new_base", "gap", "new_dataset"):
        fold = folds(table, question)[0]
        leak = GainTable(
            **{
                **vars_of(table),
                "gain": np.where(fold.left_out[..., None], 1e3, table.gain),
                "noise": np.where(fold.left_out[..., None], 1e-9, table.noise),
            }
        )
        one, other = (PREDICTORS[name].fit(world.without(fold.left_out)) for world in (table, leak))
        np.testing.assert_array_equal(one.gain, other.gain)
        np.testing.assert_array_equal(one.half_width, other.half_width)


@pytest.mark.parametrize("name", PREDICTORS)
def test_predictions_do_not_depend_on_the_unit_of_the_gains(name: str) -> None:
    table = drawn(World(slope=0.1, seed=8))
    fold = folds(table, "new_base")[0]
    bigger = GainTable(**{**vars_of(table), "gain": 100 * table.gain, "noise": 1e4 * table.noise})
    one, other = (PREDICTORS[name].fit(world.without(fold.left_out)) for world in (table, bigger))
    np.testing.assert_allclose(100 * one.gain[fold.left_out], other.gain[fold.left_out], rtol=1e-6)
    np.testing.assert_allclose(100 * one.half_width[fold.left_out], other.half_width[fold.left_out], rtol=1e-6)

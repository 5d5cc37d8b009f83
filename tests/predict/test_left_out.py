"""What is left out, and the statistics of what was told of it."""

import numpy as np
import pytest
from scipy import stats

from sftlab.predict.choosing import BY_DEFAULT, CHOSEN, judged
from sftlab.predict.gain_table import GainTable
from sftlab.predict.left_out import HeldOut, folds
from sftlab.predict.predictor import Predicted
from sftlab.predict.predictors import PREDICTORS
from sftlab.predict.skill import difference, estimate, rows
from tests.predict.worlds import World, drawn


def test_each_family_is_left_out_once_with_all_its_bases() -> None:
    table = drawn(World(bases=6, per_family=2))
    found = folds(table, "new_base")
    assert [fold.units for fold in found] == [("family0",), ("family1",), ("family2",)]
    assert all(fold.left_out.sum() == 2 * 8 for fold in found)
    assert np.sum([fold.left_out for fold in found], axis=0).tolist() == np.ones((6, 8)).tolist()


def test_gaps_are_two_cells_of_one_base_that_others_have() -> None:
    table = drawn(World(bases=3, datasets=5))
    found = folds(table, "gap", at_most=100)
    assert len(found) == 3 * 10
    assert all(fold.left_out.sum() == 2 and fold.left_out.any(axis=1).sum() == 1 for fold in found)
    assert len({fold.left_out.tobytes() for fold in found}) == 30


def test_mixtures_that_count_as_one_dataset_are_left_out_together() -> None:
    table = drawn(World(bases=3, datasets=6))
    merged = GainTable(**{**fields_of(table), "units": ("data0", "data0", "data2", "data3", "data4", "data5")})
    for fold in folds(merged, "new_dataset"):
        left = fold.left_out.all(axis=0)
        assert left[0] == left[1]
        assert not (fold.left_out.any(axis=0) & ~left).any()


def fields_of(table: GainTable) -> dict[str, object]:
    return {name: getattr(table, name) for name in GainTable.__dataclass_fields__}


@pytest.mark.parametrize(
    ("world", "question"),
    [
        (World(bases=1), "new_base"),
        (World(bases=4, per_family=4), "new_base"),
        (World(bases=1), "gap"),
        (World(datasets=2), "gap"),
        (World(datasets=1), "gap"),
        (World(datasets=3), "new_dataset"),
    ],
)
def test_nothing_is_judged_where_nothing_would_be_left_to_tell_it_from(world: World, question: str) -> None:
    assert judged(drawn(world), question) is None


@pytest.fixture(scope="module")
def told() -> HeldOut:
    """A made-up predictor on a table with a tie, judged by brute force below."""
    table = drawn(World(bases=4, datasets=5, benchmarks=2, seed=5))
    gain = table.gain.copy()
    gain[0, 1] = gain[0, 2]
    table = GainTable(**{**fields_of(table), "gain": gain})
    random = np.random.default_rng(0)
    said = np.round(gain + random.normal(0, 0.1, gain.shape), 1)
    held = HeldOut(table, "new_base")
    for fold in folds(table, "new_base"):
        held.add(fold, Predicted(said, np.full(gain.shape, 0.1)))
    held.said = said
    return held


def test_decision_accuracy_is_the_share_of_pairs_ordered_rightly_ties_half(told: HeldOut) -> None:
    gain, said = told.table.gain, told.said
    expected = np.zeros((4, 2))
    for b in range(4):
        for k in range(2):
            right = [
                0.5 if said[b, i, k] == said[b, j, k] else float((said[b, i, k] > said[b, j, k]) == (x > y))
                for i, x in enumerate(gain[b, :, k])
                for j, y in enumerate(gain[b, :, k])
                if i < j and x != y
            ]
            expected[b, k] = np.mean(right)
    np.testing.assert_allclose(rows(told, "decision_accuracy"), expected)
    found = estimate(told, "decision_accuracy", None)
    by_family = stats.ttest_1samp(expected.mean(axis=1), 0).confidence_interval(0.95)
    assert (found.value, found.n) == (pytest.approx(expected.mean()), 4)
    assert (found.ci_low, found.ci_high) == pytest.approx((by_family.low, min(1.0, by_family.high)))


def test_kendall_tau_is_that_of_scipy(told: HeldOut) -> None:
    expected = [
        [stats.kendalltau(told.said[b, :, k], told.table.gain[b, :, k]).statistic for k in range(2)] for b in range(4)
    ]
    np.testing.assert_allclose(rows(told, "kendall_tau"), expected)


def test_regret_is_what_the_first_falls_short_of_the_best(told: HeldOut) -> None:
    gain, said = told.table.gain, told.said
    expected = [
        [gain[b, :, k].max() - gain[b, said[b, :, k] == said[b, :, k].max(), k].mean() for k in range(2)]
        for b in range(4)
    ]
    np.testing.assert_allclose(rows(told, "regret"), expected)


def test_coverage_is_the_share_of_gains_within_the_interval(told: HeldOut) -> None:
    inside = np.abs(told.table.gain - told.said) <= 0.1
    np.testing.assert_allclose(rows(told, "coverage"), inside.mean(axis=1))
    np.testing.assert_allclose(rows(told, "width"), 0.2)


def test_pairs_within_noise_are_left_out_of_the_second_accuracy(told: HeldOut) -> None:
    table = told.table
    loud = GainTable(**{**fields_of(table), "noise": np.full(table.gain.shape, 0.05**2)})
    held = HeldOut(loud, "new_base")
    for fold in folds(loud, "new_base"):
        held.add(fold, Predicted(told.said, np.full(table.gain.shape, 0.1)))
    assert estimate(held, "decision_accuracy_told_apart", None).value > estimate(told, "decision_accuracy", None).value
    silent = GainTable(**{**fields_of(table), "noise": np.full(table.gain.shape, np.nan)})
    held = HeldOut(silent, "new_base")
    for fold in folds(silent, "new_base"):
        held.add(fold, Predicted(told.said, np.full(table.gain.shape, 0.1)))
    assert estimate(held, "decision_accuracy_told_apart", None) is None


@pytest.mark.parametrize("question", ["new_base", "gap", "new_dataset"])
def test_coin_is_right_half_the_time(question: str) -> None:
    held = judged(drawn(World(bases=3, datasets=5, benchmarks=1, slope=0.1)), question).held["coin"]
    found = estimate(held, "decision_accuracy", None)
    assert found.value == 0.5
    assert estimate(held, "kendall_tau", None).value == 0.0


def test_without_any_effect_of_data_no_predictor_beats_the_coin() -> None:
    accuracies = {"mixed_model": [], "mean_of_other_bases": [], CHOSEN: []}
    for seed in range(6):
        found = judged(drawn(World(dataset_sd=0.0, bases=4, datasets=6, seed=seed)), "new_base")
        for name, values in accuracies.items():
            values.append(estimate(found.held[name], "decision_accuracy", None).value)
    for values in accuracies.values():
        assert abs(np.mean(values) - 0.5) < 0.06


def test_choice_follows_what_tells_and_is_judged_without_what_it_is_judged_on() -> None:
    """Only length tells of new data, and the choice, made anew for every fold, finds it every time."""
    table = drawn(World(bases=4, datasets=7, slope=0.3, dataset_sd=0.02, interaction_sd=0.02))
    found = judged(table, "new_dataset")
    assert found.choice in ("length", "mixed_model")
    assert estimate(found.held[CHOSEN], "decision_accuracy", None).value > 0.9
    assert difference(found.held[CHOSEN], found.held["coin"]).ci_low > 0


@pytest.mark.parametrize("question", ["new_base", "gap", "new_dataset"])
def test_choice_for_a_fold_rests_on_no_gain_of_it(question: str) -> None:
    """Gains of the first fold may be anything: what is chosen for it, and told of it, stays the same."""
    table = drawn(World(bases=3, datasets=5, benchmarks=2, slope=0.1, seed=6))
    first = folds(table, question)[0]
    hidden = first.left_out
    leak = GainTable(**{**fields_of(table), "gain": np.where(hidden[..., None], 50 - table.gain, table.gain)})
    one, other = (judged(world, question).held[CHOSEN] for world in (table, leak))
    pairs = hidden[:, one.first] & hidden[:, one.second]
    assert pairs.any()
    np.testing.assert_array_equal(one.difference[pairs], other.difference[pairs])


def test_by_default_the_mean_of_the_other_bases_is_chosen() -> None:
    assert BY_DEFAULT in PREDICTORS
    assert judged(drawn(World(bases=2, interaction_sd=0.0, noise_sd=0.0)), "new_base").choice == BY_DEFAULT

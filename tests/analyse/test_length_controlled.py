"""Length-controlled win rates against an independent fit, and against a length bias that was planted."""

import numpy as np
import pytest
import statsmodels.api as sm

from sftlab.analyse import intervals
from sftlab.analyse.length_controlled import LengthControlled, NotControlled, length_controlled_win_rate


def logistic(value):
    return 1 / (1 + np.exp(-value))


def annotations(seed, *, merit, bias, count=805, mean_difference=300.0, kind="weighted"):
    """Preferences of a judge that sees `merit` and, through tanh of the scaled difference, likes what is longer."""
    generator = np.random.default_rng(seed)
    difference = np.round(generator.normal(mean_difference, 400.0, count))
    chance = logistic(merit + bias * np.tanh(difference / difference.std(ddof=1)) + generator.normal(0, 0.5, count))
    preference = chance if kind == "weighted" else (generator.random(count) < chance).astype(float)
    return preference, difference


def controlled(preference, difference) -> LengthControlled:
    found = length_controlled_win_rate(preference, difference)
    assert isinstance(found, LengthControlled)
    return found


@pytest.mark.parametrize("kind", ["weighted", "plain"])
@pytest.mark.parametrize(("merit", "bias"), [(0.0, 0.0), (-1.0, 1.5), (0.7, -2.0), (-4.0, 1.0)])
def test_the_fit_is_that_of_statsmodels(kind, merit, bias):
    preference, difference = annotations(1, merit=merit, bias=bias, kind=kind)
    found = controlled(preference, difference)
    design = sm.add_constant(np.tanh(difference / difference.std(ddof=1)))
    fit = sm.GLM(preference, design, family=sm.families.Binomial()).fit(tol=1e-12, cov_type="HC0")
    assert [found.intercept, found.slope] == pytest.approx(fit.params.tolist(), abs=1e-8)
    assert found.win_rate == pytest.approx(fit.predict([[1.0, 0.0]])[0], abs=1e-9)
    delta = found.win_rate * (1 - found.win_rate) * fit.bse[0] * np.sqrt(len(preference) / (len(preference) - 1))
    estimate = intervals.mean(found.by_item)
    assert estimate.se == pytest.approx(delta, rel=1e-6)
    assert estimate.value == pytest.approx(found.win_rate, abs=1e-12)


@pytest.mark.parametrize("bias", [-2.0, 1.0, 2.5])
def test_a_planted_length_bias_is_removed(bias):
    """Two judges of the same merit, one of whom likes length: plain win rates differ, controlled ones do not."""
    merit = -0.4
    fair = annotations(5, merit=merit, bias=0.0, count=20_000)
    biased = annotations(5, merit=merit, bias=bias, count=20_000)
    assert abs(biased[0].mean() - fair[0].mean()) > 0.1
    assert controlled(*biased).win_rate == pytest.approx(controlled(*fair).win_rate, abs=0.01)
    assert controlled(*fair).win_rate == pytest.approx(fair[0].mean(), abs=0.01)


def test_its_interval_covers_the_truth_as_often_as_it_says():
    truth = logistic(-0.5)
    covered = 0
    for seed in range(400):
        generator = np.random.default_rng(seed)
        difference = generator.normal(200, 300, 200)
        chance = logistic(-0.5 + 1.2 * np.tanh(difference / difference.std(ddof=1)))
        found = controlled((generator.random(200) < chance).astype(float), difference)
        estimate = intervals.mean(found.by_item)
        covered += estimate.ci_low <= truth <= estimate.ci_high
    assert 0.91 <= covered / 400 <= 0.985


def test_differences_of_two_models_item_by_item_have_the_interval_of_their_pairs():
    """The same items, one model a little better: pairing removes what both share."""
    generator = np.random.default_rng(0)
    shared = generator.normal(0, 1.5, 500)
    lengths = generator.normal(0, 300, (2, 500))
    one, two = (
        controlled(logistic(merit + shared + np.tanh(length / length.std(ddof=1))), length)
        for merit, length in zip((0.0, 0.3), lengths, strict=True)
    )
    paired = intervals.mean(two.by_item - one.by_item)
    assert paired.value == pytest.approx(two.win_rate - one.win_rate, abs=1e-12)
    assert paired.se < 0.3 * np.hypot(intervals.mean(one.by_item).se, intervals.mean(two.by_item).se)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_equal_preferences_have_nothing_to_control_for(value):
    found = controlled(np.full(20, value), np.arange(20.0))
    assert found.win_rate == value
    assert found.by_item.tolist() == [value] * 20


def test_equal_lengths_leave_the_plain_win_rate():
    preference = np.linspace(0.1, 0.9, 9)
    assert controlled(preference, np.zeros(9)).win_rate == pytest.approx(preference.mean())


@pytest.mark.parametrize(
    ("preference", "difference", "reason"),
    [
        ([1.0], [3.0], "at least two"),
        ([1.0, 0.0, 0.3], [5.0, 5.0, 5.0], "alike in length"),
        ([1.0, 0.0, 0.3], [-500.0, -501.0, -500.0], "alike in length"),
        ([1.0, 1.0, 0.0, 0.0], [10.0, 20.0, -10.0, -20.0], "parts wins from losses"),
        ([1.0, 1.0 - 1e-12, 1e-200, 0.0], [10.0, 20.0, -10.0, -20.0], "parts wins from losses"),
        ([1.0, 0.5, 0.0], [10.0, 0.0, -10.0], "parts wins from losses"),
    ],
)
def test_what_cannot_be_told_is_said_and_not_a_number(preference, difference, reason):
    found = length_controlled_win_rate(np.array(preference), np.array(difference))
    assert isinstance(found, NotControlled)
    assert reason in found.reason


@pytest.mark.parametrize(
    ("preference", "difference"),
    [
        ([0.0] * 15 + [1.0] * 15, np.arange(-15.0, 15.0)),
        (logistic(np.arange(-150.0, 150.0, 10.0)), np.arange(-15.0, 15.0)),
        (logistic(np.repeat([12.0, -12.0], 15)), np.arange(-20.0, 10.0)),
    ],
    ids=["certain", "weighted", "weighted and apart"],
)
def test_verdicts_that_length_parts_have_no_value(preference, difference):
    """All that is longer than a threshold won or lost: any steepness fits, and the value at equal lengths with it."""
    found = length_controlled_win_rate(np.array(preference), difference)
    assert isinstance(found, NotControlled)
    assert "parts wins from losses" in found.reason


def test_one_verdict_on_the_other_side_or_mild_verdicts_give_a_value_again():
    difference = np.arange(-15.0, 15.0)
    crossed = np.where(difference >= 0, 1.0, 0.0)
    crossed[[5, 25]] = 1.0, 0.0
    mild = logistic(np.tanh(difference / difference.std(ddof=1)))
    assert 0.4 < controlled(crossed, difference).win_rate < 0.6
    assert controlled(mild, difference).win_rate == pytest.approx(0.5, abs=1e-9)


def test_fewer_items_than_the_coefficients_need_have_no_value():
    generator = np.random.default_rng(3)
    preference, difference = generator.random(20), generator.normal(0, 300, 20)
    assert isinstance(length_controlled_win_rate(preference, difference), LengthControlled)
    found = length_controlled_win_rate(preference[:19], difference[:19])
    assert found == NotControlled("a regression on length needs 20 judged items, and there are 19")


def test_a_judge_that_is_nearly_certain_is_no_trouble():
    generator = np.random.default_rng(2)
    preference = logistic(-18 + generator.normal(0, 1, 200))
    found = controlled(preference, generator.normal(0, 300, 200))
    assert found.win_rate == pytest.approx(preference.mean(), rel=0.2)

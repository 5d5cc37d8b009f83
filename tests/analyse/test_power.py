"""The smallest effect a design can see: by formula against known answers, and by simulation through the analyses."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy import optimize, stats

from sftlab.analyse.frames import framed
from sftlab.analyse.gain_sets import GainSet
from sftlab.analyse.intervals import VariancePart, combined
from sftlab.analyse.metrics import metric_named
from sftlab.analyse.planned_power import (
    TYPICAL_BITS,
    Design,
    Spread,
    observed_spread,
    smallest_choice,
    smallest_difference,
    typical_spread,
)
from sftlab.analyse.power import (
    PAIR,
    power_findings,
    power_frame,
    seen,
    smallest_correlation,
    smallest_effect,
    smallest_effects,
)
from sftlab.analyse.ranking import LIKE_THESE, THESE, comparisons_frame
from sftlab.analyse.training import training_frames

SPREAD = Spread(interaction=0.2, seed=0.1, item=1.0, shared=0.5, source="planted")
METHODS = ("full", "lora")


@pytest.mark.parametrize("df", [3, 7, 30])
@pytest.mark.parametrize("level", [0.05, 0.005])
def test_smallest_effect_of_one_part_is_that_of_the_non_central_t(df, level):
    threshold = stats.t.isf(level / 2, df)
    exact = optimize.brentq(lambda size: stats.nct.sf(threshold, df, size) - 0.8, 1, 100)
    assert smallest_effect([VariancePart(4.0, df)], level=level) == pytest.approx(2.0 * exact, rel=0.02)


@pytest.mark.parametrize("df", [2, 5])
def test_smallest_effect_of_two_parts_is_found_in_four_of_five_studies(df):
    parts = (VariancePart(1.0, df), VariancePart(0.5, 60))
    planted = smallest_effect(parts, level=0.01)
    random = np.random.default_rng(df)
    found = []
    for _ in range(1500):
        seen = [VariancePart(part.variance * random.chisquare(part.df) / part.df, part.df) for part in parts]
        found.append(combined(random.normal(planted, math.sqrt(1.5)), *seen, n=9).p <= 0.01)
    assert np.mean(found) == pytest.approx(0.8, abs=0.035)


def test_smallest_effect_is_unknown_where_nothing_varies():
    assert smallest_effect([]) is None
    assert smallest_effect([VariancePart(0.0, 3)]) is None


@pytest.mark.parametrize(("units", "level"), [(4, 0.05), (5, 0.05 / 3), (10, 0.05 / 4), (10, 0.05 / 105)])
def test_smallest_correlation_is_found_in_four_of_five_studies(units, level):
    planted, random = smallest_correlation(units, level=level), np.random.default_rng(0)
    x_SN, noise_SN = random.normal(size=(2, 20_000, units))
    y_SN = planted * x_SN + np.sqrt(1 - planted**2) * noise_SN
    assert np.mean(stats.pearsonr(x_SN, y_SN, axis=1).pvalue <= level) == pytest.approx(0.8, abs=0.012)


def test_fewer_than_four_units_have_no_smallest_correlation():
    assert smallest_correlation(3) is None


def drawn(
    effect_DM: np.ndarray, design: Design, random: np.random.Generator, *, benchmark: str = "k", spread: Spread = SPREAD
) -> GainSet:
    """Gains of every family (of one base) x dataset x method x seed; what methods bring differs between both."""
    factor = spread.interaction / 2 if effect_DM.shape[1] > 1 else 0.0
    shape = (design.families, design.datasets, 2)
    mean = effect_DM + spread.interaction * random.normal(size=shape if factor else (*shape[:2], 1))
    if factor:
        of_families = random.normal(size=(design.families, 1, 2)) if design.families > 1 else 0.0
        mean = mean + factor / math.sqrt(2) * of_families
        mean = mean + factor / math.sqrt(2) * random.normal(size=(1, design.datasets, 2))
    run = np.broadcast_to(mean, shape).repeat(design.seeds, axis=2)
    run = run + spread.seed * random.normal(size=run.shape)
    common_shape = (1, 1, 2, design.items) if factor else (1, design.datasets, 1, design.items)
    common = random.normal(size=common_shape).repeat(2 * design.seeds // common_shape[2], axis=2)
    noise = math.sqrt(spread.shared / 2) * common
    noise = noise + math.sqrt((1 - spread.shared) / 2) * random.normal(size=(*run.shape, design.items))
    item = (run[..., None] + spread.item * noise).reshape(-1, design.items)
    gain = item.mean(axis=1)
    pull = ((item - gain[:, None]) / design.items).astype(np.float32)
    grid = np.indices(run.shape).reshape(3, -1)
    seed = grid[2] % design.seeds
    rows = pl.DataFrame(
        {
            "run": [f"r{place}" for place in range(len(gain))],
            "base": [f"b{place}" for place in grid[0]],
            "family": [f"b{place}" for place in grid[0]],
            "dataset": [f"d{place}" for place in grid[1]],
            "method": [METHODS[place // design.seeds] for place in grid[2]],
            **dict.fromkeys(("seed", "order_seed", "init_seed"), seed),
            "gain": gain,
        }
    ).with_columns(
        learning_rate=pl.lit(1e-4),
        batch_size=pl.lit(8),
        samples=pl.lit(100),
        schedule=pl.lit("constant"),
        epochs=pl.lit(1),
        fixed_steps=pl.lit(None, dtype=pl.Int64),
    )
    return GainSet((benchmark, "likelihood", "bits_per_byte"), main=True, rows=rows, pull=pull)


@pytest.mark.parametrize(("families", "new_bases"), [(4, True), (8, True), (3, False)])
def test_planned_difference_is_found_in_four_of_five_drawn_studies(families, new_bases):
    design = Design(families=families, bases=1, datasets=3, recipes=2, seeds=2, items=40)
    benchmarks = 2
    planted = smallest_difference(design, SPREAD, new_bases=new_bases, questions=design.pairs * benchmarks)
    here = SPREAD if new_bases else replace(SPREAD, interaction=0.0)
    random, found, studies = np.random.default_rng(families), 0, 150
    for _ in range(studies):
        effect_D = np.array([[planted / 2], [-planted / 2], [0.0]])
        sets = [
            drawn(effect_D, design, random, spread=here),
            drawn(0 * effect_D, design, random, benchmark="null", spread=here),
        ]
        frame = comparisons_frame(sets).filter(population=LIKE_THESE if new_bases else THESE, benchmark="k")
        pair = frame.filter(pl.col("dataset") == "d0", pl.col("other") == "d1")
        found += pair["verdict"].to_list() == ["higher"]
    assert found / studies == pytest.approx(0.8, abs=0.1)


@pytest.mark.parametrize(("families", "datasets"), [(4, 6), (6, 4), (1, 8)])
def test_planned_choice_is_found_in_four_of_five_drawn_studies(families, datasets):
    design = Design(families=families, bases=1, datasets=datasets, recipes=1, seeds=2, items=40)
    planted = smallest_choice(design, SPREAD, questions=1)
    random, found, studies = np.random.default_rng(datasets), 0, 150
    for _ in range(studies):
        effect_DM = np.tile([0.0, planted], (datasets, 1))
        frame = training_frames([drawn(effect_DM, design, random)])[0]
        found += frame["verdict"].to_list() == ["higher"]
    assert found / studies == pytest.approx(0.8, abs=0.1)


def test_frames_tell_the_smallest_effect_that_the_design_plans():
    design = Design(families=8, bases=1, datasets=4, recipes=2, seeds=2, items=60)
    random, seen = np.random.default_rng(3), []
    for _ in range(20):
        frame = comparisons_frame([drawn(np.zeros((4, 1)), design, random)]).filter(population=LIKE_THESE)
        seen.append(frame["smallest_effect"].median())
    planned = smallest_difference(design, SPREAD, new_bases=True, questions=6)
    assert np.median(seen) == pytest.approx(planned, rel=0.1)


def test_spreads_that_were_seen_are_those_that_were_drawn():
    design = Design(families=8, bases=1, datasets=6, recipes=2, seeds=3, items=100)
    random = np.random.default_rng(4)
    seen = [observed_spread(drawn(np.zeros((6, 1)), design, random), TYPICAL_BITS) for _ in range(20)]
    for name in ("interaction", "seed", "item", "shared"):
        assert np.mean([getattr(one, name) for one in seen]) == pytest.approx(getattr(SPREAD, name), rel=0.06), name


def test_spreads_of_one_family_are_not_known():
    design = Design(families=1, bases=1, datasets=3, recipes=2, seeds=1, items=10)
    assert observed_spread(drawn(np.zeros((3, 1)), design, np.random.default_rng(0)), TYPICAL_BITS) is None


def test_more_of_anything_sees_smaller_effects():
    least = Design(families=2, bases=1, datasets=3, recipes=1, seeds=1, items=50)
    spread = typical_spread(metric_named("accuracy"))
    planned = smallest_difference(least, spread, new_bases=True, questions=3)
    for more in ({"families": 3}, {"bases": 2}, {"seeds": 3}, {"items": 100}, {"recipes": 2}):
        assert smallest_difference(replace(least, **more), spread, new_bases=True, questions=3) < planned, more
    assert smallest_difference(replace(least, families=1), spread, new_bases=True, questions=3) is None
    assert typical_spread(metric_named("rating")).interaction == pytest.approx(0.54)
    assert typical_spread(metric_named("anything")) is None


def test_analysis_says_what_it_would_have_missed(planted_analysis):
    rows = planted_analysis.power.filter(question=PAIR, population=LIKE_THESE)
    assert rows["questions"].to_list() == [18, 18, 18]
    row = rows.filter(benchmark="arithmetic_test").row(0, named=True)
    pairs = planted_analysis.comparisons.filter(benchmark="arithmetic_test", population=LIKE_THESE)
    assert row["smallest_effect"] == pytest.approx(pairs["smallest_effect"].median())
    assert (pairs["smallest_effect"] > 3 * pairs["se"]).all()
    told = [finding.text for finding in power_findings(planted_analysis.power)]
    assert "corrected for 18 questions" in told[0]
    assert set(told) <= {finding.text for finding in planted_analysis.findings}
    correlation_rows = planted_analysis.power.filter(unit="correlation", benchmark="arithmetic_test")
    assert correlation_rows["n"].to_list() == [4, 4]


@pytest.mark.parametrize(
    ("effect", "unit", "said"),
    [
        (0.5, "accuracy", "50 points of accuracy"),
        (1.5, "accuracy", "more than 100 points"),
        (7.5, "bits per byte", "7.5 bits per byte"),
        (518.0, "bits per byte", "more than 8 bits per byte"),
    ],
)
def test_effects_larger_than_any_are_told_in_words(effect, unit, said):
    assert seen(effect, unit) == said


def test_benchmarks_with_the_same_smallest_effect_are_told_together():
    rows = [{"smallest_effect": 1.5, "unit": "accuracy", "benchmark": name} for name in ("a", "b")]
    rows.insert(1, {"smallest_effect": 0.5, "unit": "accuracy", "benchmark": "c"})
    said = "more than 100 points on a and b and 50 points of accuracy on c"
    assert smallest_effects(rows) == f"{said} (where it is more than 100 points, nothing would be found)"
    assert smallest_effects(rows[1:2]) == "50 points of accuracy on c"


def test_questions_without_a_smallest_effect_are_counted_all_the_same():
    metric = {"benchmark": "k", "scorer": "generative", "metric": "exact_match", "main": True, "unit": "points"}
    pair = {**metric, "population": LIKE_THESE, "n": 3, "dataset": "a"}
    comparisons = framed(
        "comparisons",
        [
            {**pair, "other": "b", "p": 0.2, "smallest_effect": 0.5},
            {**pair, "other": "c", "p": 0.4, "smallest_effect": 0.7},
            {**pair, "other": "d", "p": 1.0, "smallest_effect": None},
            {**pair, "benchmark": "other", "other": "b", "p": 1.0, "smallest_effect": None},
        ],
    )
    choice = {**metric, "factor": "method", "level": "lora", "n": 3}
    training = framed(
        "training",
        [
            {**choice, "other": "full", "p": 0.3, "smallest_effect": 0.6},
            {**choice, "benchmark": "other", "other": "full", "p": 1.0, "smallest_effect": None},
        ],
    )
    found = power_frame(comparisons, training, framed("properties", []), framed("layer_correlations", []))
    assert found.select("benchmark", "smallest_effect", "questions").rows() == [("k", 0.6, 6), ("k", 0.6, 2)]

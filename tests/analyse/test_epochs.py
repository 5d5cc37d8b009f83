"""Gain after every epoch: the peak, what came after it, and runs that overfit."""

import itertools

import numpy as np
import polars as pl
import pytest

from sftlab.analyse.epochs import epoch_findings, epoch_gains_frame
from sftlab.analyse.intervals import mean, two_way_mean
from sftlab.analyse.schemas import RUNS, SCORES, VALIDATION, conformed, empty

UNITS = ("base family", "base families")
RISING, PEAKED, FLAT = (0.1, 0.2, 0.3, 0.4), (0.1, 0.4, 0.3, 0.2), (0.2, 0.2, 0.2, 0.2)
BASES, DATASETS = ("a", "b", "c", "d"), ("x", "y", "z")


def scored(curve, *, noise=0.01, bases=BASES, datasets=DATASETS, spread=0.0) -> pl.DataFrame:
    generator = np.random.default_rng(0)
    rows = []
    for base, dataset, seed in itertools.product(bases, datasets, (0, 1)):
        lift = generator.normal(0, spread)
        for epoch, gain in enumerate(curve, 1):
            rows.append(
                {"run": f"{base}/{dataset}/{seed}", "base": base, "family": base, "dataset": dataset, "method": "full"}
                | {"benchmark": "quiz", "scorer": "likelihood", "metric": "bits_per_byte", "main": True, "seed": seed}
                | {"epoch": epoch, "gain": gain + lift + generator.normal(0, noise), "status": "done"}
            )
    return conformed(pl.DataFrame(rows), SCORES)


def together(scores, **changes):
    return epoch_gains_frame(scores, **changes).filter(pl.col("dataset").is_null()).sort("epoch")


def sentences(scores):
    found = epoch_findings(epoch_gains_frame(scores), empty(VALIDATION), empty(RUNS), UNITS)
    return [one.text for one in found if one.benchmark is not None]


def test_means_and_intervals_are_those_of_cells_at_each_epoch():
    scores = scored(RISING, spread=0.05)
    frame = together(scores)
    cells = scores.filter(epoch=2).group_by("base", "dataset", maintain_order=True).agg(pl.col("gain").mean())
    witness = two_way_mean(cells["gain"].to_numpy(), np.repeat(np.arange(4), 3), np.tile(np.arange(3), 4))
    row = frame.row(1, named=True)
    assert (row["gain"], row["ci_low"], row["ci_high"]) == pytest.approx(
        (witness.value, witness.ci_low, witness.ci_high)
    )
    assert (row["n"], row["cells"]) == (4, 12)


def test_what_comes_until_the_end_is_paired_by_cell():
    scores = scored(RISING, spread=5.0)
    frame = together(scores)
    assert frame["to_end"].to_list()[:3] == pytest.approx([0.3, 0.2, 0.1], abs=0.02)
    assert frame["verdict"].to_list()[:3] == ["higher"] * 3
    assert frame["to_end"][3] is None


def test_of_equal_means_the_first_is_the_peak():
    frame = together(scored((0.1, 0.3, 0.1 + 0.2), noise=0.0, bases=("a", "b"), datasets=("x",)))
    assert frame["peak"].to_list() == [False, True, False]


def test_one_dataset_has_the_interval_over_families():
    scores = scored(RISING, spread=0.05)
    row = epoch_gains_frame(scores).filter(dataset="y", epoch=4).row(0, named=True)
    cells = scores.filter(dataset="y", epoch=4).group_by("base", maintain_order=True).agg(pl.col("gain").mean())
    witness = mean(cells["gain"].to_numpy())
    assert (row["gain"], row["ci_low"]) == pytest.approx((witness.value, witness.ci_low))


@pytest.mark.parametrize(
    ("curve", "peak", "said"),
    [
        (RISING, 4, "the gain is largest after the last: +0.4"),
        (PEAKED, 2, "the gain is largest after epoch 2: +0.4"),
    ],
)
def test_sentence_names_the_peak(curve, peak, said):
    assert together(scored(curve)).filter("peak")["epoch"].to_list() == [peak]
    (text,) = sentences(scored(curve, noise=0.0))
    assert "On quiz with full, of 4 epochs" in text
    assert said in text


def test_sentence_says_whether_later_epochs_surely_brought_or_cost_anything():
    assert "it surely grew after epoch 3" in sentences(scored(RISING))[0]
    assert "surely lost" in sentences(scored(PEAKED))[0]
    assert "cannot be told from" in sentences(scored(FLAT, noise=0.1))[0]
    assert "too small to tell" in sentences(scored(PEAKED, bases=("a",), datasets=("x",)))[0]


@pytest.mark.parametrize(("curve", "grew", "fell"), [(RISING, 1, 0), (PEAKED, 1, 1)])
def test_overview_counts_courses_that_surely_grew_or_fell(curve, grew, fell):
    first = next(epoch_findings(epoch_gains_frame(scored(curve)), empty(VALIDATION), empty(RUNS), UNITS))
    assert f"{grew} surely grew after an epoch before the last, and {fell} surely fell" in first.text


def test_flat_curves_are_rarely_said_to_change():
    generator = np.random.default_rng(1)
    found = 0
    for _ in range(40):
        scores = scored(FLAT).with_columns(gain=pl.Series(generator.normal(0, 0.1, len(BASES) * len(DATASETS) * 8)))
        found += bool(set(together(scores)["verdict"][:3]) & {"higher", "lower"})
    assert found <= 5


def test_runs_that_miss_an_epoch_are_left_out_and_single_epochs_have_no_curve():
    scores = scored(RISING)
    holed = scores.filter((pl.col("run") != "a/x/0") | (pl.col("epoch") != 2))
    assert together(holed).filter(epoch=2)["cells"][0] == 12
    both = holed.filter(pl.col("run") != "a/x/1")
    assert together(both).filter(epoch=3)["cells"][0] == 11
    assert epoch_gains_frame(scores.filter(epoch=4)).is_empty()
    assert epoch_gains_frame(empty(SCORES)).is_empty()


def test_mixtures_do_not_count_in_the_mean_over_datasets():
    scores = scored(RISING, datasets=("x", "y", "both"))
    frame = together(scores, sources={"both": frozenset({"x", "y"})})
    assert set(frame["cells"]) == {8}
    assert "both" in set(epoch_gains_frame(scores)["dataset"])


def test_runs_whose_held_out_loss_rose_again_are_counted():
    runs = conformed(pl.DataFrame({"run": ["r", "s", "t"], "method": ["full"] * 3}), RUNS)
    curves = {"r": [3.0, 2.0, 2.5, 2.6], "s": [3.0, 2.0, 1.5, 1.6], "t": [3.0, 2.0, 1.0, 0.5]}
    rows = [
        {"run": run, "epoch": epoch, "loss": loss} for run, curve in curves.items() for epoch, loss in enumerate(curve)
    ]
    validation = conformed(pl.DataFrame(rows), VALIDATION)
    (found,) = epoch_findings(epoch_gains_frame(empty(SCORES)), validation, runs, UNITS)
    assert "lowest before the last epoch in 2 of 3 runs (half of those by epoch 1.5)" in found.text

"""Intrinsic dimension by depth: what the bases have, and what training changed in it."""

import itertools

import numpy as np
import polars as pl
import pytest

from sftlab.analyse.dimensions import dimension_findings, dimension_frames
from sftlab.analyse.intervals import mean
from sftlab.analyse.schemas import DIMENSIONS, RUNS, conformed, empty

LAYERS = {"a": 5, "b": 5, "c": 9}
DATASETS = ("x", "y", "z")
UNITS = ("base family", "base families")


def tables(drop: float = 2.0, noise: float = 0.05, bases=tuple(LAYERS)) -> dict[str, pl.DataFrame]:
    """Bases whose dimension rises by 4 with depth; training takes `drop` away at the last layer, less before it."""
    generator = np.random.default_rng(0)
    runs, rows = [], []

    def measured(base, run, epoch, change):
        for layer in range(LAYERS[base]):
            depth = layer / (LAYERS[base] - 1)
            value = 6 + 4 * depth + (0 if run is None else change * depth + generator.normal(0, noise))
            rows.append(
                {"checkpoint": f"{run or base}-{epoch}", "base": base, "run": run, "epoch": epoch, "layer": layer}
                | {"depth": depth, "dimension": value, "ci_low": value - 1, "ci_high": value + 1, "n": 100}
            )

    for base in bases:
        measured(base, None, 0, 0)
        for dataset, seed in itertools.product(DATASETS, (0, 1)):
            run = f"{base}/{dataset}/{seed}"
            runs.append(
                {"run": run, "base": base, "family": base, "dataset": dataset, "method": "full", "seed": seed}
                | {"scored_epoch": 2, "status": "done"}
            )
            measured(base, run, 1, 50)
            measured(base, run, 2, -drop)
    return {
        "runs": conformed(pl.DataFrame(runs), RUNS),
        "dimensions": conformed(pl.DataFrame(rows, infer_schema_length=None), DIMENSIONS),
    }


def test_change_by_depth_is_that_of_the_last_epoch_on_depths_all_bases_have():
    _, change = dimension_frames(tables(noise=0.0))
    assert change["depth"].to_list() == [0, 0.25, 0.5, 0.75, 1]
    assert change["change"].to_list() == pytest.approx([0, -0.5, -1, -1.5, -2])
    assert change.select("n", "cells").row(0) == (3, 9)


def test_interval_is_that_of_families_and_datasets():
    made = tables(bases=("a",))
    _, change = dimension_frames(made)
    seeds = (
        made["dimensions"].filter(pl.col("layer") == 4, pl.col("epoch") == 2)["dimension"].to_numpy().reshape(3, 2)
    ).mean(axis=1)
    witness = mean(seeds - 10)
    assert change["change"][-1] == pytest.approx(witness.value)
    assert change["ci_low"][-1] == pytest.approx(witness.ci_low)


def test_profiles_are_means_over_seeds_beside_the_base():
    by_depth, _ = dimension_frames(tables(noise=0.0))
    base = by_depth.filter(base="a", dataset="none")
    assert base["dimension"].to_list() == pytest.approx([6, 7, 8, 9, 10])
    assert base["change"].null_count() == 5
    tuned = by_depth.filter(base="c", dataset="y")
    assert set(tuned["models"]) == {2}
    assert tuned["change"].to_list() == pytest.approx((-2 * tuned["depth"]).to_list())
    assert (tuned["ci_high"] - tuned["ci_low"]).to_list() == pytest.approx([2] * 9)


def test_sentences_say_where_it_peaks_and_where_training_changed_it():
    found = [one.text for one in dimension_findings(*dimension_frames(tables()), UNITS)]
    assert "a at depth 1 (10 [9, 11], n = 100 texts)" in found[0]
    assert "surely rose at 0 and fell at 4 of 5 depths, most at depth 1: -1.99 " in found[1]
    unsure = [one.text for one in dimension_findings(*dimension_frames(tables(drop=0.0)), UNITS)]
    assert "at none of 5 depths can a change be told" in unsure[1]


def test_layers_without_an_estimate_and_bases_not_measured_yet_are_left_out():
    made = tables(noise=0.0)
    gone = pl.when((pl.col("base") == "a") & (pl.col("layer") == 0)).then(None).otherwise(pl.col("dimension"))
    dimensions = made["dimensions"].with_columns(dimension=gone)
    dimensions = dimensions.filter(pl.col("run").is_not_null() | (pl.col("base") != "c"))
    by_depth, change = dimension_frames({**made, "dimensions": dimensions})
    assert by_depth.filter(base="a", dataset="none").height == 4
    assert by_depth.filter(base="c")["change"].null_count() == 27
    assert change.select("n", "cells").row(0) == (2, 6)
    assert change["depth"].to_list() == [0.25, 0.5, 0.75, 1]


def test_nothing_measured_gives_empty_frames():
    by_depth, change = dimension_frames({"runs": empty(RUNS), "dimensions": empty(DIMENSIONS)})
    assert by_depth.is_empty()
    assert change.is_empty()
    assert list(dimension_findings(by_depth, change, UNITS)) == []

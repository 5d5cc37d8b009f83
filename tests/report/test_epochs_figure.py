"""Gain over the epochs in the report."""

from dataclasses import replace

import plotly.graph_objects as go
import polars as pl
import pytest

from sftlab.analyse.effects import Finding
from sftlab.analyse.frames import framed
from sftlab.report.figures.epochs import gain_by_epoch
from sftlab.report.palette import NEUTRAL, Palette
from sftlab.report.sections.material import Material
from sftlab.report.sections.training import training

from .synthetic_analysis import empty_analysis

PALETTE = Palette(bases=("a",), datasets=("x", "y"), methods=("full",))
METRIC = {"benchmark": "quiz", "scorer": "likelihood", "metric": "accuracy", "main": True, "unit": "accuracy"}
GAINS = framed(
    "epoch_gains",
    [
        {**METRIC, "dataset": dataset, "method": "full", "epochs": 2, "epoch": epoch, "gain": gain, "n": 3, "cells": 6}
        | {"ci_low": gain - 0.1, "ci_high": gain + 0.1, "peak": peak}
        for dataset, curve in ((None, (0.2, 0.1)), ("x", (0.3, 0.4)))
        for epoch, gain, peak in zip((1, 2), curve, (dataset is None, dataset == "x"), strict=True)
    ],
)


def test_curves_begin_at_the_base_and_only_the_mean_has_its_intervals():
    figure = go.Figure(dict(gain_by_epoch(GAINS.rename({"gain": "value"}), "points", PALETTE)))
    of_dataset, together = figure.data
    assert of_dataset.y == (0.0, 0.3, 0.4)
    assert of_dataset.line.color == PALETTE.dataset_colour("x")
    assert of_dataset.error_y.array is None
    assert together.line.color == NEUTRAL
    assert together.error_y.array[1:] == pytest.approx([0.1, 0.1])
    assert [list(trace.marker.symbol).index("star") for trace in figure.data] == [2, 1]


def test_without_a_mean_every_curve_has_its_intervals():
    (trace,) = gain_by_epoch(GAINS.filter(pl.col("dataset") == "x").rename({"gain": "value"}), "points", PALETTE)[
        "data"
    ]
    assert trace["error_y"]["array"][1:] == pytest.approx([0.1, 0.1])


def test_panel_has_the_sentence_of_its_benchmark_in_points():
    said = "On quiz with full, the gain is largest after epoch 1."
    findings = (Finding("training", said, "quiz", "epoch"), Finding("training", "All in all.", subject="epochs"))
    analysis = replace(empty_analysis(findings=findings), epoch_gains=GAINS)
    section = training(Material(analysis, {}, None, PALETTE))
    panel = next(block for block in section.blocks if getattr(block, "key", "") == "epochs")
    assert panel.variants[0].found == (said,)
    assert panel.variants[0].figure["data"][0]["y"][1] == pytest.approx(30)
    assert section.blocks[0].sentences == ("All in all.",)

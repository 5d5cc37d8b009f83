"""The map of models in the report: every checkpoint a point, epochs joined by lines, filters that act on both."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest

from sftlab.analyse.frames import framed
from sftlab.analyse.model_map import ModelMap
from sftlab.report.blocks import Panel
from sftlab.report.context import ReportContext
from sftlab.report.figures.files import named_figures
from sftlab.report.figures.layers import dimension_change_curves, dimension_curves
from sftlab.report.figures.map import MOST_POINTS, Looks, model_map, movement_curves
from sftlab.report.page import render
from sftlab.report.palette import Palette, palette
from sftlab.report.sections.layers import layers
from sftlab.report.sections.map import map_of_models
from sftlab.report.sections.material import Material

from .browser import probed
from .synthetic import synthetic_tables
from .synthetic_analysis import empty_analysis, synthetic_analysis

PALETTE = Palette(bases=("a", "b"), datasets=("x", "y"), methods=("full", "lora"))
LOOKS = Looks("base", "first", "second")


def point(base, run, epoch, at, *, dataset="x", last=True):
    named = {"source": "scores", "view": "models", "checkpoint": f"{run or base}-{epoch}", "base": base, "run": run}
    rest = {"dataset": dataset if run else "none", "method": "full" if run else None, "epoch": epoch, "last": last}
    return {**named, **rest, "x": at[0], "y": at[1]}


POINTS = framed(
    "map_points",
    [
        point("a", None, 0, (0.0, 0.0)),
        point("a", "r", 1, (1.0, 2.0), last=False),
        point("a", "r", 2, (3.0, 4.0)),
        point("b", None, 0, (9.0, 9.0)),
        point("b", "<s>", 1, (8.0, 8.0), dataset="y"),
    ],
)


def test_lines_go_from_the_base_over_the_epochs_of_runs_that_have_several():
    figure = go.Figure(dict(model_map(POINTS, LOOKS, PALETTE)))
    (line,) = (trace for trace in figure.data if trace.mode == "lines")
    assert line.x == (0.0, 1.0, 3.0, None)
    assert line.y == (0.0, 2.0, 4.0, None)
    assert line.meta["dataset"] == ["x", "x", "x", None]


def test_every_checkpoint_is_one_point_and_bases_are_stars():
    marks = [trace for trace in model_map(POINTS, LOOKS, PALETTE)["data"] if trace["mode"] == "markers"]
    assert sorted(x for trace in marks for x in trace["x"]) == [0.0, 1.0, 3.0, 8.0, 9.0]
    stars = [trace for trace in marks if trace["marker"]["symbol"] == "star"]
    assert [trace["x"] for trace in stars] == [[0.0], [9.0]]
    assert sum(trace["showlegend"] for trace in marks) == 2
    assert "b trained on y" in next(trace for trace in marks if trace["x"] == [8.0])["hovertext"][0]


def test_colour_tells_the_factor_that_was_chosen():
    coloured = {
        factor: {trace["name"]: trace["marker"]["color"] for trace in figure["data"] if "marker" in trace}
        for factor in ("base", "dataset")
        for figure in [model_map(POINTS, Looks(factor, "", ""), PALETTE)]
    }
    assert coloured["base"] == {"a": PALETTE.base_colour("a"), "b": PALETTE.base_colour("b")}
    assert coloured["dataset"]["y"] == PALETTE.dataset_colour("y")
    assert "before training" in coloured["dataset"]


def test_of_very_many_checkpoints_only_those_after_training_are_drawn():
    count = MOST_POINTS + 2
    rows = [point("a", f"r{place // 2}", place % 2 + 1, (0.0, 1.0), last=place % 2 == 1) for place in range(count)]
    (trace,) = model_map(framed("map_points", rows), LOOKS, PALETTE)["data"]
    assert len(trace["x"]) == count // 2


def test_movement_begins_at_the_base_and_has_the_intervals():
    rows = [
        {
            "source": "scores",
            "method": "full",
            "epochs": 2,
            "epoch": epoch,
            "distance": float(epoch),
            "n": 3,
            "cells": 6,
        }
        | {"ci_low": 0.5, "ci_high": 2.5}
        for epoch in (1, 2)
    ]
    (trace,) = go.Figure(dict(movement_curves(framed("map_movement", rows), "nats a text", PALETTE))).data
    assert (trace.x, trace.y) == ((0, 1, 2), (0.0, 1.0, 2.0))
    assert trace.error_y.array[1:] == (1.5, 0.5)


def test_dimension_curves_tell_bases_apart_and_of_one_base_its_datasets():
    rows = [
        {"base": base, "dataset": dataset, "method": method, "depth": depth, "value": 5.0, "n": 90}
        for base in ("a", "b")
        for dataset, method in (("none", None), ("x", "full"))
        for depth in (0.0, 1.0)
    ]
    frame = pl.DataFrame(rows).with_columns(ci_low=pl.lit(4.0), ci_high=pl.lit(6.0))
    bases = dimension_curves(frame.filter(dataset="none"), PALETTE)["data"]
    assert [trace["line"]["color"] for trace in bases] == [PALETTE.base_colour("a"), PALETTE.base_colour("b")]
    own = dimension_curves(frame.filter(base="a"), PALETTE)["data"]
    assert [trace["name"] for trace in own] == ["before training", "x, full"]
    assert own[1]["line"]["color"] == PALETTE.dataset_colour("x")


def test_changes_of_dimension_that_are_not_sure_are_hollow():
    frame = pl.DataFrame(
        {"method": ["full"] * 2, "depth": [0.0, 1.0], "value": [0.1, -2.0], "ci_low": [-1.0, -3.0], "n": [4, 4]}
        | {"ci_high": [1.0, -1.0], "verdict": ["cannot tell", "lower"]}
    )
    (trace,) = dimension_change_curves(frame, PALETTE)["data"]
    assert trace["marker"]["symbol"] == ["circle-open", "circle"]


@pytest.fixture(scope="module")
def analysis():
    return synthetic_analysis(synthetic_tables())


@pytest.fixture(scope="module")
def material(analysis):
    tables = synthetic_tables()
    return Material(analysis, tables, ReportContext("study", datetime(2025, 3, 1)), palette(tables))


def panels_of(section):
    return {block.key: block for block in section.blocks if isinstance(block, Panel)}


def test_both_maps_are_shown_by_components_and_by_tsne_with_what_was_found(material):
    panels = panels_of(map_of_models(material))
    labels = [variant.label for variant in panels["models"].variants]
    assert labels == [
        f"{kind}, by {factor}" for kind in ("principal components", "t-SNE") for factor in ("base", "dataset", "method")
    ]
    assert panels["changes"].variants[0].label == "principal components, by dataset"
    assert "Of what training changed" in panels["changes"].variants[0].found[0]
    assert "nearest five" in panels["changes"].variants[-1].found[-1]
    assert len(panels["movement"].variants[0].found) == 2


def test_dimension_stands_beside_weight_change(material):
    panels = panels_of(layers(material))
    assert list(panels)[-2:] == ["dimension", "dimension-change"]
    assert panels["dimension"].variants[1].facets == {"base": "olmo-1b"}
    assert "With full, intrinsic dimension" in panels["dimension-change"].variants[0].found[0]


def test_names_of_map_figures_are_their_own(material):
    names = [one.name for one in named_figures([map_of_models(material)])]
    assert len(set(names)) == len(names) == 13


def test_without_models_the_section_says_so():
    section = map_of_models(Material(empty_analysis(), {}, None, None))
    assert "there is no map yet" in section.blocks[0].sentences[0]
    assert len(section.blocks) == 1


def test_models_that_differ_in_one_direction_alone_have_a_map():
    models = POINTS.select("checkpoint", "run", "base", "epoch", "last")
    shown = ModelMap("scores", "models", models, np.arange(5.0)[:, None], np.ones(1), 3)
    shares = framed("map_components", [{"source": "scores", "view": "models", "component": 1, "share": 1.0}])
    found = replace(empty_analysis(), map_points=POINTS, map_components=shares, maps=(shown,))
    panel = panels_of(map_of_models(Material(found, {}, None, PALETTE)))["models"]
    assert panel.variants[0].figure["layout"]["yaxis"]["title"]["text"] == "nothing is left for a second component"


PROBE = """
  dispatchEvent(new Event("beforeprint"));
  dispatchEvent(new Event("afterprint"));
  const figure = () => document.querySelector("#map-models figure:not([hidden]) .plot");
  const points = () => figure().data.filter((trace) => trace.mode === "markers");
  const marks = () => points().reduce((sum, trace) => sum + trace.x.length, 0);
  const found = { all: marks() };
  const select = document.querySelector("#map-models select");
  select.selectedIndex = [...select.options].findIndex((option) => option.textContent === "t-SNE, by dataset");
  select.dispatchEvent(new Event("change"));
  dispatchEvent(new Event("beforeprint"));
  found.tsne = marks();
  [...document.querySelectorAll("#filters input")].find((input) => input.value === "alpaca").click();
  dispatchEvent(new Event("beforeprint"));
  found.narrowed = marks();
  found.titles = [figure().layout.xaxis.title.text];
"""


def test_filters_leave_the_bases_and_what_was_chosen(analysis, tmp_path):
    page = render(analysis, synthetic_tables(), ReportContext("study", datetime(2025, 3, 1)))
    found = probed(page, PROBE, tmp_path)
    runs_a_dataset = 2 * 2
    assert found["all"] == found["tsne"] == 2 + 4 * runs_a_dataset * 3
    assert found["narrowed"] == 2 + runs_a_dataset * 3
    assert found["titles"] == ["t-SNE, first axis"]
    assert found["errors"] == []

"""Figures show exactly what is in the frames, and plotly accepts them."""

import math

import plotly.graph_objects as go
import polars as pl
import pytest

from sftlab.report.figures.data import data_rows
from sftlab.report.figures.gains import Places, gain_forest, gain_map
from sftlab.report.figures.layers import change_by_depth, correlation_by_depth
from sftlab.report.figures.methods import difference_forest, paired_gains
from sftlab.report.figures.properties import correlation_forest, property_scatter
from sftlab.report.figures.training import (
    learning_rate_curves,
    loss_curves,
    points_a_run,
    thinned_losses,
    validation_curves,
)
from sftlab.report.palette import Palette

from .synthetic import synthetic_tables

PALETTE = Palette(bases=("a", "b"), datasets=("x", "y", "z"), methods=("full", "lora"))
EVIL = '<b onclick="x()">&amp;</b>'


def accepted(figure):
    return go.Figure(dict(figure))


def gains(rows):
    return pl.DataFrame(rows, schema=["base", "dataset", "value", "ci_low", "ci_high", "n", "verdict"], orient="row")


GAINS = gains(
    [
        ("a", "x", 0.4, 0.1, 0.7, 2, "higher"),
        ("a", "y", -0.2, -0.5, -0.1, 2, "cannot tell"),
        ("b", "x", -0.3, -0.4, -0.2, 2, "lower"),
        ("b", "y", 0.05, None, None, 1, None),
    ]
)
MISSING = pl.DataFrame({"base": ["a"], "dataset": ["z"], "status": ["failed"], "reason": ["out of memory"]})
PLACES = Places(bases=("a", "b"), datasets=("x", "y", "z"), limit=0.4)


def test_forest_shows_every_dataset_best_on_top_with_its_interval():
    ranking = pl.DataFrame(
        {"dataset": ["x", "y"], "value": [0.1, 0.4], "ci_low": [-0.1, 0.3], "ci_high": [0.3, 0.6], "n": [4, 4]}
    )
    figure = accepted(gain_forest(ranking, "bits per byte", PALETTE))
    assert list(figure.layout.yaxis.ticktext) == ["y", "x"]
    best, other = figure.data
    assert best.x[0] == 0.4
    assert best.x[0] + best.error_x.array[0] == pytest.approx(0.6)
    assert best.x[0] - best.error_x.arrayminus[0] == pytest.approx(0.3)
    assert best.marker.color == PALETTE.dataset_colour("y")
    assert best.marker.symbol == "square"
    assert other.marker.symbol == "circle-open"
    assert "+0.400 bits per byte" in best.hovertext[0]
    assert "+0.300 to +0.600" in best.hovertext[0]
    assert figure.layout.annotations[0].text == "mean gain (bits per byte)"


def test_forest_without_intervals_draws_no_error_bar():
    ranking = pl.DataFrame({"dataset": ["x"], "value": [0.1], "ci_low": [None], "ci_high": [None], "n": [1]})
    figure = accepted(gain_forest(ranking, "accuracy", PALETTE))
    assert figure.data[0].error_x.array[0] is None
    assert "no interval" in figure.data[0].hovertext[0]


def test_map_puts_sure_unsure_and_missing_cells_each_in_its_own_layer():
    sure, unsure, hatched = accepted(gain_map(GAINS, MISSING, PLACES, "accuracy")).data
    assert [list(row) for row in sure.z] == [[0.4, None, None], [-0.3, None, None]]
    assert [list(row) for row in unsure.z] == [[None, -0.2, None], [None, 0.05, None]]
    assert (sure.coloraxis, unsure.coloraxis) == ("coloraxis", "coloraxis2")
    assert [(x, base + 0.46) for x, base in zip(hatched.x, hatched.base, strict=True)] == [(2, 0), (2, 1)]
    assert hatched.hovertext[0] == "a trained on z<br>failed: out of memory"
    assert list(hatched.text) == ["failed", "pending"]
    assert hatched.marker.pattern.shape == "/"
    assert hatched.width < 1
    assert sure.text[0][0] == "<b>+0.40</b>"
    assert unsure.text[0][1] == "(\u22120.20)"
    assert "n = 1" in unsure.hovertext[1][1]
    assert "no interval" in unsure.hovertext[1][1]


def test_map_scales_sure_and_unsure_cells_alike():
    figure = accepted(gain_map(GAINS, MISSING, PLACES, "accuracy"))
    for axis in (figure.layout.coloraxis, figure.layout.coloraxis2):
        assert (axis.cmin, axis.cmid, axis.cmax) == (-0.4, 0, 0.4)


def test_map_of_nothing_is_all_hatched():
    figure = accepted(gain_map(GAINS.clear(), MISSING.clear(), PLACES, "accuracy"))
    assert len(figure.data) == 1
    assert len(figure.data[0].x) == 6


def test_property_scatter_has_one_point_a_cell_and_a_log_axis_only_when_wide():
    points = pl.DataFrame(
        {
            "base": ["a", "a", "b"],
            "dataset": ["x", "y", "x"],
            "property_value": [1.0, 10.0, 100.0],
            "gain": [0.1, 0.2, -0.3],
        }
    )
    wide = accepted(property_scatter(points, "response perplexity", "accuracy", PALETTE))
    assert [(trace.name, tuple(trace.x), tuple(trace.y)) for trace in wide.data] == [
        ("a", (1.0, 10.0), (0.1, 0.2)),
        ("b", (100.0,), (-0.3,)),
    ]
    assert wide.layout.xaxis.type == "log"
    assert wide.data[0].marker.color != wide.data[1].marker.color
    narrow = accepted(property_scatter(points.filter(pl.col("base") == "a"), "length", "accuracy", PALETTE))
    assert narrow.layout.xaxis.type == "linear"


CHANGE = pl.DataFrame(
    {
        "method": ["full", "full", "lora"],
        "depth": [1.0, 0.0, 0.0],
        "value": [0.3, 0.2, 0.1],
        "ci_low": [0.2, 0.1, None],
        "ci_high": [0.5, 0.3, None],
        "n": [4, 4, 1],
        "near_peak": [True, False, None],
    }
)


def test_depth_curves_carry_intervals_and_hollow_marks_below_the_peak():
    full, lora = accepted(change_by_depth(CHANGE, PALETTE)).data
    assert (list(full.customdata), list(full.y)) == ([0.0, 1.0], [0.2, 0.3])
    assert list(full.error_y.array) == pytest.approx([0.1, 0.2])
    assert list(full.marker.symbol) == ["circle-open", "circle"]
    assert list(lora.error_y.array) == [None]


def test_curves_at_one_depth_stand_apart_and_their_data_have_the_depth_itself():
    figure = change_by_depth(CHANGE, PALETTE)
    full, lora = figure["data"]
    assert full["x"][0] < 0 < lora["x"][0]
    assert lora["x"][0] - full["x"][0] == pytest.approx(0.012)
    assert [row.x for row in data_rows(figure)] == [0.0, 1.0, 0.0]


def test_curves_of_many_layers_stand_nearer_than_the_layers():
    layers = [place / 99 for place in range(100)]
    dense = pl.concat(
        [CHANGE.head(1).with_columns(method=pl.lit(name), depth=pl.lit(at)) for name in "ab" for at in layers]
    )
    first, second = change_by_depth(dense, PALETTE)["data"]
    assert first["x"][0] < second["x"][0] < first["x"][1]


def test_many_curves_stay_within_the_axis():
    curves = [CHANGE.head(2).with_columns(method=pl.lit(name)) for name in "abcdefgh"]
    figure = change_by_depth(pl.concat(curves), PALETTE)
    low, high = figure["layout"]["xaxis"]["range"]
    places = [place for trace in figure["data"] for place in trace["x"]]
    assert low < min(places) < 0
    assert 1 < max(places) < high


def test_single_curve_stands_where_it_is():
    (full,) = change_by_depth(CHANGE.head(2), PALETTE)["data"]
    assert full["x"] == [0.0, 1.0]


def test_correlation_by_depth_draws_the_control_dashed():
    correlation = CHANGE.drop("method").with_columns(divided_by_total=pl.Series([False, False, True]))
    plain, divided = accepted(correlation_by_depth(correlation, "#123456")).data
    assert (list(plain.y), list(divided.y)) == ([0.2, 0.3], [0.1])
    assert (plain.line.dash, divided.line.dash) == ("solid", "dash")


def test_correlation_forest_puts_the_strongest_on_top():
    correlations = pl.DataFrame(
        {
            "property": ["length", "perplexity"],
            "value": [0.1, -0.6],
            "ci_low": [-0.5, -0.89],
            "ci_high": [0.6, 0.05],
            "n": [10, 10],
            "verdict": ["cannot tell", None],
        }
    )
    figure = accepted(correlation_forest(correlations))
    assert (figure.layout.xaxis.tickangle, figure.layout.xaxis.nticks) == (0, 4)
    assert list(figure.layout.yaxis.ticktext) == ["perplexity", "length"]
    assert figure.data[0].x[0] == -0.6
    assert "too small to tell" in figure.data[0].hovertext[0]
    assert figure.data[0].marker.symbol == "circle-open"


def test_difference_forest_names_both_levels_and_the_smallest_effect():
    differences = pl.DataFrame(
        {
            "factor": ["method"],
            "level": ["lora"],
            "other": ["full"],
            "value": [0.02],
            "ci_low": [0.01],
            "ci_high": [0.03],
            "n": [4],
            "smallest_effect": [0.015],
            "verdict": ["higher"],
        }
    )
    figure = accepted(difference_forest(differences, "accuracy"))
    assert list(figure.layout.yaxis.ticktext) == ["lora \u2212 full (method)"]
    assert "smallest effect this design would see: 0.0150" in figure.data[0].hovertext[0]
    assert figure.data[0].marker.symbol == "diamond"


def test_paired_gains_draw_the_line_of_equality():
    pairs = pl.DataFrame({"base": ["a", "b"], "dataset": ["x", "y"], "first": [0.1, 0.3], "second": [0.2, None]})
    figure = accepted(paired_gains(pairs, ("full", "lora"), "accuracy", PALETTE))
    assert [(tuple(trace.x), tuple(trace.y)) for trace in figure.data] == [((0.1,), (0.2,))]
    line = figure.layout.shapes[0]
    assert (line.x0, line.x1) == (line.y0, line.y1)
    assert line.x0 < 0.1
    assert line.x1 > 0.2


def test_thinned_losses_keep_the_mean_and_the_last_step():
    losses = pl.DataFrame(
        {
            "run": ["r"] * 1000 + ["s"] * 3,
            "step": [*range(1, 1001), 1, 2, 3],
            "loss": [*map(float, range(1000)), 3.0, 2.0, 1.0],
        }
    )
    thinned = thinned_losses(losses, points=100)
    long = thinned.filter(pl.col("run") == "r")
    assert long.height == 100
    assert long["step"].to_list() == list(range(10, 1001, 10))
    assert long["loss"].to_list() == pytest.approx([4.5 + 10 * place for place in range(100)])
    assert thinned.filter(pl.col("run") == "s")["loss"].to_list() == [3.0, 2.0, 1.0]


def test_training_curves_draw_each_run_faint_and_smoothed_and_name_each_recipe_once():
    tables = synthetic_tables()
    runs = tables["runs"].filter(base="olmo-1b")
    palette = Palette(bases=("olmo-1b",), datasets=("alpaca", "gsm8k", "dolly", "code"), methods=("full", "lora"))
    figure = accepted(loss_curves(thinned_losses(tables["losses"]), runs, palette))
    assert len(figure.data) == 32
    assert sum(trace.showlegend for trace in figure.data) == 8
    raw = tables["losses"].filter(run=runs["run"][0])["loss"].to_list()
    faint, clear = figure.data[0], figure.data[16]
    assert list(faint.y) == pytest.approx(raw, rel=1e-5)
    assert faint.opacity < clear.opacity
    assert clear.y[50] == pytest.approx(sum(raw[45:56]) / 11, rel=1e-5)
    validation = accepted(validation_curves(tables["validation"], runs, palette))
    held_out = tables["validation"].filter(run=runs["run"][0])["bits_per_byte"].to_list()
    assert list(validation.data[0].y) == pytest.approx(held_out, rel=1e-5)
    assert list(validation.data[0].x) == [0, 1, 2, 3]


def many_runs(count, steps=300):
    runs = pl.DataFrame({"run": [f"r{n}" for n in range(count)], "base": "a", "dataset": "x", "method": "full"})
    rates = [1e-3 * (1 + run % 2) for run in range(count) for _ in range(steps)]
    losses = pl.DataFrame(
        {
            "run": [f"r{run}" for run in range(count) for _ in range(steps)],
            "step": list(range(1, steps + 1)) * count,
            "loss": [float(run) for run in range(count) for _ in range(steps)],
            "learning_rate": rates,
        }
    )
    return runs, losses


def test_a_thousand_runs_are_a_median_over_a_thicket_of_bounded_size():
    runs, losses = many_runs(1001)
    figure = accepted(loss_curves(thinned_losses(losses, points_a_run(1001)), runs, PALETTE))
    thicket, median = figure.data
    assert len(thicket.x) <= 1001 * 25
    assert set(median.y) == {500.0}
    assert median.text == "median of 1,001 runs: x \u00b7 full"
    assert list(thicket.y).count(None) == 1001


def test_median_of_runs_of_unlike_length_is_over_all_that_got_there():
    runs, short = many_runs(60, steps=200)
    long = many_runs(40, steps=2000)[1].with_columns(run=pl.col("run") + "long", loss=pl.col("loss") + 100)
    more = runs.head(40).with_columns(run=pl.col("run") + "long")
    both = pl.concat([short, long])
    _, median = accepted(loss_curves(thinned_losses(both), pl.concat([runs, more]), PALETTE)).data
    by_step = dict(zip(median.x, median.y, strict=True))
    # 60 runs of 0 to 59 and 40 of 100 to 139 where all are, the 40 alone later
    assert {value for step, value in by_step.items() if step < 180} == {49.5}
    assert {value for step, value in by_step.items() if step > 240} == {119.5}


def test_each_course_of_the_learning_rate_is_drawn_once():
    runs, losses = many_runs(10)
    figure = accepted(learning_rate_curves(losses, runs, PALETTE))
    assert [trace.y[0] for trace in figure.data] == [1e-3, 2e-3]
    assert [trace.text for trace in figure.data] == ["full: 5 runs, for example r0", "full: 5 runs, for example r1"]
    assert all(trace.x[-1] == 300 and len(trace.x) <= 151 for trace in figure.data)


def test_names_with_markup_are_shown_as_text_in_figures():
    frame = gains([(EVIL, EVIL, 0.4, 0.1, 0.7, 2, "higher")])
    places = Places(bases=(EVIL,), datasets=(EVIL,), limit=0.4)
    forest = gain_forest(frame, "accuracy", Palette((EVIL,), (EVIL,), ()))
    for figure in (gain_map(frame, MISSING.clear(), places, "accuracy"), forest):
        shown = {name: value for name, value in figure["layout"].items() if name != "meta"}
        drawn = accepted({"data": figure["data"], "layout": shown}).to_json()
        assert "\\u003cb onclick" not in drawn
        assert "<b onclick" not in drawn
        assert "&lt;b onclick" in drawn or "\\u0026lt;b onclick" in drawn


def test_palette_gives_every_name_of_a_large_study_a_look_of_its_own():
    names = tuple(f"d{place}" for place in range(60))
    palette = Palette(bases=names, datasets=names, methods=())
    looks = {(palette.dataset_colour(name), palette.dataset_symbol(name)) for name in names}
    assert len(looks) == math.lcm(12, 10) == 60

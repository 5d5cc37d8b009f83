"""How far the weights moved, by depth, how that goes with gain, and the dimension of hidden states."""

from collections.abc import Sequence
from itertools import pairwise

import polars as pl

from sftlab.report.blocks import Figure
from sftlab.report.figures.drawing import SURE, Trace, drawing, error_bars, titled, zero_line
from sftlab.report.palette import NEUTRAL, Palette
from sftlab.report.text import figure_text, hover, interval, number, told_n

APART = 0.012
"""How far curves stand apart at one depth, so that intervals do not hide each other: nearer where layers are dense."""
SHARE_OF_LAYER = 0.6
ROOM = 0.05
"""How far the outermost curves may stand apart: the axis ends 0.03 beyond the first and the last layer."""
DEPTH_AXIS = titled("depth (0 is the first layer, 1 the last)", range=[-0.03, 1.03], zeroline=False)


def change_by_depth(change: pl.DataFrame, palette: Palette, quantity: str = "relative weight change") -> Figure:
    """Mean of a quantity of weight changes by depth with its 95 % interval, one curve a method.

    `change` has method, depth, value, ci_low, ci_high, n, near_peak (hollow marks are not). The
    axis is logarithmic where values differ more than thirtyfold.
    """
    known = change.drop_nulls("value").sort("depth")
    traces = [
        {**_curve(str(method), rows, palette.method_colour(str(method))), "meta": {"method": method}}
        for (method,), rows in known.group_by("method", maintain_order=True)
    ]
    lowest, highest = known["value"].min(), known["value"].max()
    wide = isinstance(lowest, float) and isinstance(highest, float) and lowest > 0 and highest / lowest > 30
    return drawing(
        _apart(traces),
        380,
        showlegend=True,
        xaxis=DEPTH_AXIS,
        yaxis=titled(quantity, type="log" if wide else "linear", tickformat=".2~g"),
    )


def correlation_by_depth(correlation: pl.DataFrame, colour: str) -> Figure:
    """Correlation of weight change with gain by depth: depth, value, ci_low, ci_high, n, divided_by_total, near_peak.

    Two curves: of the change itself, and (dashed) of the change divided by the model's total change.
    """
    known = correlation.drop_nulls("value").sort("divided_by_total", "depth")
    traces = [
        _curve("divided by total change" if divided else "weight change", rows, NEUTRAL if divided else colour)
        for (divided,), rows in known.group_by("divided_by_total", maintain_order=True)
    ]
    return drawing(
        _apart(traces),
        360,
        showlegend=True,
        xaxis=DEPTH_AXIS,
        yaxis=titled("correlation with gain", range=[-1.05, 1.05], zeroline=False),
        shapes=[zero_line("y")],
    )


def dimension_curves(dimensions: pl.DataFrame, palette: Palette) -> Figure:
    """Intrinsic dimension by depth with its 95 % interval: a curve for each base, dataset and method.

    `dimensions` has base, dataset, method, depth, value, ci_low, ci_high, n. Of several bases colour tells the base;
    of one it tells the dataset, dash the method, and the base before training is dashed in grey.
    """
    several = dimensions["base"].n_unique() > 1
    traces: list[Trace] = []
    for part, rows in (
        dimensions.sort("depth", maintain_order=True)
        .partition_by("base", "dataset", "method", as_dict=True, maintain_order=True)
        .items()
    ):
        base, dataset, method = part
        if several:
            looks = {"name": str(base), "colour": palette.base_colour(str(base)), "dash": "solid"}
        elif method is None:
            looks = {"name": "before training", "colour": NEUTRAL, "dash": "dash"}
        else:
            dash = palette.method_dash(str(method))
            looks = {"name": f"{dataset}, {method}", "colour": palette.dataset_colour(str(dataset)), "dash": dash}
        trace = _curve(looks["name"], rows.with_columns(near_peak=None), looks["colour"], dash=looks["dash"])
        traces.append({**trace, "meta": {"base": base, "dataset": dataset, "method": method}})
    return drawing(_apart(traces), 400, showlegend=True, xaxis=DEPTH_AXIS, yaxis=titled("intrinsic dimension (TwoNN)"))


def dimension_change_curves(change: pl.DataFrame, palette: Palette) -> Figure:
    """Mean change of intrinsic dimension by depth with its interval, a curve a method; hollow where it is not sure.

    `change` has method, depth, value, ci_low, ci_high, n, verdict.
    """
    marked = change.with_columns(near_peak=pl.col("verdict").is_in(SURE)).sort("depth", maintain_order=True)
    traces = [
        {**_curve(str(method), rows, palette.method_colour(str(method))), "meta": {"method": method}}
        for (method,), rows in marked.group_by("method", maintain_order=True)
    ]
    return drawing(
        _apart(traces),
        360,
        showlegend=True,
        xaxis=DEPTH_AXIS,
        yaxis=titled("change of intrinsic dimension", zeroline=False),
        shapes=[zero_line("y")],
    )


def _apart(traces: Sequence[Trace]) -> list[Trace]:
    """The curves a little beside each other; `customdata` of each has the depths themselves."""
    depths = [_depths(trace) for trace in traces]
    gaps = [later - earlier for one in depths for earlier, later in pairwise(sorted(set(one)))]
    if len(traces) < 2 or not gaps:
        return list(traces)
    step = min(APART, min(ROOM, SHARE_OF_LAYER * min(gaps)) / (len(traces) - 1))
    middle = (len(traces) - 1) / 2
    return [
        {**trace, "x": [depth + (place - middle) * step for depth in one], "customdata": one}
        for place, (trace, one) in enumerate(zip(traces, depths, strict=True))
    ]


def _depths(trace: Trace) -> list[float]:
    depths = trace["x"]
    assert isinstance(depths, list)
    return depths


def _curve(name: str, rows: pl.DataFrame, colour: str, *, dash: str | None = None) -> Trace:
    values, lows, highs = (rows[column].to_list() for column in ("value", "ci_low", "ci_high"))
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": figure_text(name),
        "x": rows["depth"].to_list(),
        "y": values,
        "error_y": {**error_bars(values, lows, highs), "color": colour},
        "line": {"color": colour, "width": 2, "dash": dash or ("dash" if colour == NEUTRAL else "solid")},
        "marker": {
            "color": colour,
            "size": 8,
            "symbol": ["circle-open" if near is False else "circle" for near in rows["near_peak"]],
        },
        "hoverinfo": "text",
        "hovertext": [
            hover(
                [
                    name,
                    f"depth {row['depth']:.2f}: {number(row['value'])}",
                    interval(row["ci_low"], row["ci_high"], show=number),
                    told_n(row),
                ]
            )
            for row in rows.iter_rows(named=True)
        ],
    }

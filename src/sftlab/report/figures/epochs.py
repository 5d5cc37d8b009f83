"""Gain after every epoch of training."""

from typing import Any

import polars as pl

from sftlab.report.blocks import Figure
from sftlab.report.figures.drawing import Trace, drawing, error_bars, titled, zero_line
from sftlab.report.palette import NEUTRAL, Palette
from sftlab.report.text import figure_text, hover, interval, signed, told_n


def gain_by_epoch(gains: pl.DataFrame, unit: str, palette: Palette) -> Figure:
    """Mean gain by epoch, from 0 at the base: a thin curve a dataset and method, a thick grey one over all datasets.

    `gains` has dataset (null for the mean), method, epochs, epoch, value, ci_low, ci_high, n, cells, peak. Only the
    thick curves have their intervals where there is one; dashes tell methods, stars the largest gains.
    """
    has_mean = gains["dataset"].null_count() > 0
    ordered = gains.sort(pl.col("dataset").is_null(), maintain_order=True)
    traces = [
        _curve(part, rows, unit, palette, bars=part[0] is None or not has_mean)
        for part, rows in ordered.partition_by("dataset", "method", "epochs", as_dict=True, maintain_order=True).items()
    ]
    return drawing(
        traces,
        400,
        showlegend=True,
        xaxis=titled("epoch (0 is the base)", dtick=1, rangemode="tozero"),
        yaxis=titled(f"mean gain ({unit})", zeroline=False),
        shapes=[zero_line("y")],
    )


def _curve(part: tuple[Any, ...], rows: pl.DataFrame, unit: str, palette: Palette, *, bars: bool) -> Trace:
    dataset, method, epochs = part
    colour = NEUTRAL if dataset is None else palette.dataset_colour(str(dataset))
    name = f"{'mean of all datasets' if dataset is None else dataset}, {method}"
    symbol = "circle" if dataset is None else palette.dataset_symbol(str(dataset))
    values, lows, highs = ([0.0, *rows[column].to_list()] for column in ("value", "ci_low", "ci_high"))
    said = [
        hover(
            [
                f"{name}, after epoch {row['epoch']} of {epochs}: {signed(row['value'])} {unit}",
                interval(row["ci_low"], row["ci_high"]),
                f"{told_n(row)}, {row['cells']} cells",
            ]
        )
        for row in rows.iter_rows(named=True)
    ]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": figure_text(name),
        "x": [0, *rows["epoch"].to_list()],
        "y": values,
        **({"error_y": {**error_bars(values, lows, highs), "color": colour}} if bars else {}),
        "line": {"color": colour, "dash": palette.method_dash(str(method)), "width": 3 if dataset is None else 1.6},
        "marker": {
            "color": colour,
            "size": 9,
            "symbol": [symbol, *("star" if peak else symbol for peak in rows["peak"])],
        },
        "hoverinfo": "text",
        "hovertext": ["before training", *said],
        "meta": {"dataset": dataset, "method": method},
    }

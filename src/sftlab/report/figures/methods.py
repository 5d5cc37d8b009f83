"""Two methods on the same cells."""

import polars as pl

from sftlab.report.blocks import Figure
from sftlab.report.figures.drawing import SURE, Trace, drawing, titled
from sftlab.report.figures.forest import Estimate, forest
from sftlab.report.palette import NEUTRAL, Palette
from sftlab.report.text import figure_text, hover, interval, number, signed, told_n


def difference_forest(differences: pl.DataFrame, unit: str) -> Figure:
    """Gain under one level of a training choice minus gain under another, in the order of the rows.

    `differences` has factor, level, other, value, ci_low, ci_high, n, smallest_effect, verdict.
    """
    estimates = [
        Estimate(
            f"{row['level']} \u2212 {row['other']} ({row['factor']})",
            row["value"],
            row["ci_low"],
            row["ci_high"],
            (
                f"difference of gains {signed(row['value'])} {unit}",
                interval(row["ci_low"], row["ci_high"]),
                told_n(row),
                f"smallest effect this design would see: {number(row['smallest_effect'])}",
            ),
            row["verdict"] in SURE,
            NEUTRAL,
            "diamond",
        )
        for row in differences.iter_rows(named=True)
    ]
    return forest(estimates, f"difference of gains ({unit})")


def paired_gains(pairs: pl.DataFrame, methods: tuple[str, str], unit: str, palette: Palette) -> Figure:
    """Gain under one method against gain under another, one point a base x dataset cell; on the line they are equal.

    `pairs` has base, dataset, first, second: the gains under `methods[0]` and `methods[1]`. Above the line
    the second is better.
    """
    known = pairs.drop_nulls(["first", "second"])
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": figure_text(dataset),
            "x": rows["first"].to_list(),
            "y": rows["second"].to_list(),
            "marker": {
                "color": palette.dataset_colour(str(dataset)),
                "symbol": palette.dataset_symbol(str(dataset)),
                "size": 10,
                "opacity": 0.85,
            },
            "meta": {"dataset": dataset, "base": rows["base"].to_list()},
            "hoverinfo": "text",
            "hovertext": [
                hover(
                    [
                        f"{row['base']} trained on {dataset}",
                        f"{methods[0]}: gain {signed(row['first'])} {unit}",
                        f"{methods[1]}: gain {signed(row['second'])} {unit}",
                        f"difference {signed(row['second'] - row['first'])} {unit}",
                    ]
                )
                for row in rows.iter_rows(named=True)
            ],
        }
        for (dataset,), rows in known.group_by("dataset", maintain_order=True)
    ]
    ends = [value for column in ("first", "second") for value in known[column].to_list()] or [0.0, 1.0]
    low, high = min(ends), max(ends)
    room = 0.06 * ((high - low) or 1.0)
    span = [low - room, high + room]
    equal = {
        "type": "line",
        "x0": span[0],
        "x1": span[1],
        "y0": span[0],
        "y1": span[1],
        "layer": "between",
        "line": {"width": 1, "dash": "dot"},
    }
    return drawing(
        traces,
        460,
        showlegend=True,
        xaxis=titled(f"gain, {methods[0]} ({unit})", range=span, zeroline=False, constrain="domain"),
        yaxis=titled(f"gain, {methods[1]} ({unit})", range=span, zeroline=False, scaleanchor="x", constrain="domain"),
        shapes=[equal],
    )

"""A property of the training data against what the data brought."""

import polars as pl

from sftlab.report.blocks import Figure
from sftlab.report.figures.drawing import SURE, Trace, drawing, titled, zero_line
from sftlab.report.figures.forest import Estimate, forest
from sftlab.report.palette import BASE_COLOURS, Palette
from sftlab.report.text import figure_text, hover, interval, number, signed, told_n


def property_scatter(points: pl.DataFrame, name: str, unit: str, palette: Palette) -> Figure:
    """One point a base x dataset cell: the value of a data property under that base, and the mean gain.

    `points` has base, dataset, property_value, gain. Colour and symbol tell the base. The property's axis is
    logarithmic where its values are positive and span more than a factor of thirty.
    """
    known = points.drop_nulls(["property_value", "gain"])
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": figure_text(base),
            "x": rows["property_value"].to_list(),
            "y": rows["gain"].to_list(),
            "marker": {
                "color": palette.base_colour(str(base)),
                "symbol": palette.base_symbol(str(base)),
                "size": 10,
                "opacity": 0.85,
            },
            "meta": {"base": base, "dataset": rows["dataset"].to_list()},
            "hoverinfo": "text",
            "hovertext": [
                hover(
                    [
                        f"{base} trained on {row['dataset']}",
                        f"{name} {number(row['property_value'])}",
                        f"gain {signed(row['gain'])} {unit}",
                    ]
                )
                for row in rows.iter_rows(named=True)
            ],
        }
        for (base,), rows in known.group_by("base", maintain_order=True)
    ]
    lowest, highest = known["property_value"].min(), known["property_value"].max()
    wide = isinstance(lowest, float) and isinstance(highest, float) and lowest > 0 and highest / lowest > 30
    return drawing(
        traces,
        380,
        showlegend=True,
        xaxis=titled(name, type="log" if wide else "linear", zeroline=False),
        yaxis=titled(f"mean gain ({unit})", zeroline=False),
        shapes=[zero_line("y")],
    )


def correlation_forest(correlations: pl.DataFrame) -> Figure:
    """Correlation of each property with gain: property, value, ci_low, ci_high, n, verdict; strongest on top."""
    strongest = correlations.sort(pl.col("value").abs(), descending=True, nulls_last=True)
    estimates = [
        Estimate(
            row["property"].replace("_", " "),
            row["value"],
            row["ci_low"],
            row["ci_high"],
            (
                f"correlation {signed(row['value'])}",
                interval(row["ci_low"], row["ci_high"]),
                told_n(row),
                row["verdict"] or "too small to tell",
            ),
            row["verdict"] in SURE,
            BASE_COLOURS[0],
        )
        for row in strongest.iter_rows(named=True)
    ]
    return forest(estimates, "correlation with gain", ends=(-1.05, 1.05))


def behind_forest(strongest: pl.DataFrame) -> Figure:
    """How far each property is behind the strongest: the frame `strongest_property` of one metric, strongest on top."""
    estimates = [
        Estimate(
            row["property"].replace("_", " "),
            row["behind"],
            row["ci_low"],
            row["ci_high"],
            (
                f"correlation {signed(row['correlation'])}, {number(row['behind'])} behind the strongest",
                interval(row["ci_low"], row["ci_high"]),
                f"n = {row['n']} datasets",
                "may be the strongest" if row["in_set"] else "surely not the strongest",
            ),
            row["in_set"],
            BASE_COLOURS[0],
        )
        for row in strongest.sort("behind").iter_rows(named=True)
    ]
    return forest(estimates, "absolute correlation behind the strongest")

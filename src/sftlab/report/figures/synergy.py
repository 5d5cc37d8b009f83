"""How alike bases, datasets and benchmarks are, what gains depend on, and what holds over families."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from sftlab.report.blocks import Figure
from sftlab.report.figures.drawing import Trace, drawing, faceted, named_places, titled
from sftlab.report.figures.forest import Estimate, forest
from sftlab.report.palette import BASE_COLOURS, NEUTRAL
from sftlab.report.text import figure_text, hover, interval, number, signed

Row = dict[str, Any]
HOLDS_MARKS = {
    "everywhere": ("everywhere", "#0072B2", "star"),
    "on average": ("on average", "#56B4E9", "circle"),
    "some": ("some families", "#009E73", "triangle-up"),
    "mixed": ("some, and hurts others", "#CC79A7", "diamond"),
    "hurts some": ("hurts some families", "#E69F00", "triangle-down"),
    "hurts on average": ("hurts on average", "#E69F00", "square"),
    "hurts everywhere": ("hurts everywhere", "#D55E00", "x"),
    "cannot tell": ("cannot tell", NEUTRAL, "circle-open"),
}
"""What the legend calls each, its colour (Okabe & Ito: blues help, oranges hurt) and its symbol."""
WIDE = 12


def agreement_map(pairs: pl.DataFrame, factor: str) -> Figure:
    """Correlations between levels of a factor: below the diagonal double-centred, above it as they are.

    `pairs` has level, other, raw, correlation, ci_low, ci_high, ceiling, disattenuated, p_adjusted.
    """
    rows = pairs.to_dicts()
    names = list(dict.fromkeys(name for row in rows for name in (row["level"], row["other"])))
    place = {name: index for index, name in enumerate(names)}
    size = len(names)
    value: list[list[float | None]] = [[None] * size for _ in names]
    text = [[""] * size for _ in names]
    for row in rows:
        low, high = sorted((place[row["level"]], place[row["other"]]))
        value[high][low], value[low][high] = row["correlation"], row["raw"]
        text[high][low] = hover(_agreement_lines(row))
        text[low][high] = hover([f"{row['level']} and {row['other']}", f"not centred: {signed(row['raw'])}"])
    trace: Trace = {
        "type": "heatmap",
        "x": list(range(size)),
        "y": list(range(size)),
        "z": value,
        "hovertext": text,
        "hoverinfo": "text",
        "hoverongaps": False,
        "coloraxis": "coloraxis",
        "xgap": 1,
        "ygap": 1,
    }
    if size <= WIDE:
        trace["text"] = [["" if one is None else f"{one:+.2f}" for one in line] for line in value]
        trace["texttemplate"] = "%{text}"
    bar = {"title": {"text": "correlation", "font": {"size": 12}}, "thickness": 12, "outlinewidth": 0}
    return drawing(
        [trace],
        140 + max(24, 44 - size) * size,
        meta=faceted(x=(factor, names), y=(factor, names)),
        xaxis={**named_places(names), "side": "bottom"},
        yaxis=named_places(names, downwards=True),
        coloraxis={"cmin": -1, "cmax": 1, "cmid": 0, "colorbar": bar},
    )


def _agreement_lines(row: Row) -> list[str]:
    lines = [
        f"{row['level']} and {row['other']}",
        f"double-centred: {signed(row['correlation'])}",
        interval(row["ci_low"], row["ci_high"]),
    ]
    if row["p_adjusted"] is not None:
        lines.append(f"p = {number(row['p_adjusted'])} (permutations, corrected)")
    if row["ceiling"] is not None:
        lines.append(f"noise ceiling {number(row['ceiling'])}; without noise {signed(row['disattenuated'])}")
    return lines


def scree(components: pl.DataFrame) -> Figure:
    """Share of variance of each principal component, beside what benchmarks that share nothing would have."""
    place = components["component"].to_list()
    share, null_high = components["share"].to_list(), components["null_high"].to_list()
    cumulative = components["cumulative"].to_list()
    told = [
        hover([f"component {one}", f"{100 * mine:.1f} % of variance", f"{100 * both:.1f} % together"])
        for one, mine, both in zip(place, share, cumulative, strict=True)
    ]
    traces: list[Trace] = [
        {
            "type": "bar",
            "name": "these gains",
            "x": place,
            "y": [100 * one for one in share],
            "marker": {"color": BASE_COLOURS[0]},
            "hoverinfo": "text",
            "hovertext": told,
        },
        {
            "type": "scatter",
            "mode": "lines",
            "name": "nothing shared, 97.5 % quantile",
            "x": place,
            "y": [100 * one for one in null_high],
            "line": {"color": NEUTRAL, "dash": "dash", "width": 2},
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "together",
            "x": place,
            "y": [100 * one for one in cumulative],
            "line": {"color": BASE_COLOURS[1], "width": 2},
            "marker": {"size": 5},
            "hoverinfo": "skip",
        },
    ]
    return drawing(
        traces,
        360,
        showlegend=True,
        xaxis=titled("principal component", dtick=1 if len(place) <= WIDE else 5, zeroline=False),
        yaxis=titled("share of variance (%)", rangemode="tozero"),
    )


def loadings_map(loadings: pl.DataFrame) -> Figure:
    """Weight of every benchmark in the leading components: component, benchmark, loading."""
    parts = loadings["component"].unique(maintain_order=True).to_list()
    names = loadings["benchmark"].unique(maintain_order=True).to_list()
    weight: Mapping[tuple[object, object], float] = {
        (row["benchmark"], row["component"]): row["loading"] for row in loadings.to_dicts()
    }
    value = [[weight[name, part] for part in parts] for name in names]
    trace: Trace = {
        "type": "heatmap",
        "x": list(range(len(parts))),
        "y": list(range(len(names))),
        "z": value,
        "text": [[f"{one:+.2f}" for one in line] for line in value],
        "texttemplate": "%{text}",
        "hovertext": [
            [hover([f"{name}, component {part}", f"loading {signed(weight[name, part])}"]) for part in parts]
            for name in names
        ],
        "hoverinfo": "text",
        "coloraxis": "coloraxis",
        "xgap": 2,
        "ygap": 2,
    }
    bar = {"title": {"text": "loading", "font": {"size": 12}}, "thickness": 12, "outlinewidth": 0}
    return drawing(
        [trace],
        120 + 26 * max(len(names), 3),
        meta=faceted(y=("benchmark", names)),
        xaxis=named_places([f"component {part}" for part in parts]),
        yaxis=named_places(names, downwards=True),
        coloraxis={"cmin": -1, "cmax": 1, "cmid": 0, "colorbar": bar},
    )


def share_forest(shares: pl.DataFrame) -> Figure:
    """What gains depend on: source, share, ci_low, ci_high, n; the largest on top."""
    estimates = [
        Estimate(
            row["source"],
            100 * row["share"],
            None if row["ci_low"] is None else 100 * row["ci_low"],
            None if row["ci_high"] is None else 100 * row["ci_high"],
            (f"{100 * row['share']:.1f} % of the variance", f"n = {row['n']} families or datasets"),
            row["ci_low"] is not None and row["ci_low"] > 0,
            BASE_COLOURS[0],
        )
        for row in shares.sort("share", descending=True).to_dicts()
    ]
    return forest(estimates, "share of the variance of gains (%)", ends=(-3, 103))


def consistency_map(rows: Sequence[Row]) -> Figure:
    """For every dataset and benchmark whether its gain holds over families: benchmark, dataset, holds, `lines`."""
    benchmarks = list(dict.fromkeys(row["benchmark"] for row in rows))
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    traces: list[Trace] = []
    for holds, (name, colour, symbol) in HOLDS_MARKS.items():
        of_kind = [row for row in rows if row["holds"] == holds]
        if of_kind:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": figure_text(name),
                    "x": [datasets.index(row["dataset"]) for row in of_kind],
                    "y": [benchmarks.index(row["benchmark"]) for row in of_kind],
                    "marker": {"color": colour, "symbol": symbol, "size": 13},
                    "hoverinfo": "text",
                    "hovertext": [hover(row["lines"]) for row in of_kind],
                }
            )
    return drawing(
        traces,
        150 + 24 * max(len(benchmarks), 3),
        showlegend=True,
        meta=faceted(x=("dataset", datasets), y=("benchmark", benchmarks)),
        xaxis={**named_places(datasets), "showgrid": True},
        yaxis={**named_places(benchmarks, downwards=True), "showgrid": True},
    )

"""Models as points of a map, with their way over the epochs, and how far each epoch moved them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from sftlab.report.blocks import Figure
from sftlab.report.figures.drawing import Trace, drawing, error_bars, titled
from sftlab.report.palette import NEUTRAL, Palette
from sftlab.report.text import figure_text, hover, interval, number, told_n

FACETS = ("base", "dataset", "method")
NOT_TRAINED = "none"
MOST_POINTS = 3000
"""Beyond so many checkpoints a map shows models after training alone."""
DIGITS = 5
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Looks:
    """By which factor models are coloured (symbols say the same), and the titles of the axes."""

    coloured_by: str
    x_title: str
    y_title: str

    def level(self, row: Row) -> str:
        """The level of a model; what has none, such as the base of all changes, is `before training`."""
        level = row[self.coloured_by]
        return "before training" if level is None or level == NOT_TRAINED else str(level)


def model_map(points: pl.DataFrame, looks: Looks, palette: Palette) -> Figure:
    """One point a checkpoint, and a line a run from its base over its epochs where there are several.

    `points` has run, base, dataset, method, samples, seed, epoch, last, x, y. Bases are stars, checkpoints before the
    last epoch small marks.
    """
    shown = points if points.height <= MOST_POINTS else points.filter("last")
    rows = shown.to_dicts()
    levels = dict.fromkeys(looks.level(row) for row in rows)
    traces: list[Trace] = []
    for level in levels:
        of_level = [row for row in rows if looks.level(row) == level]
        colour, symbol = _colour_and_symbol(level, looks.coloured_by, palette)
        tuned = [row for row in of_level if row["run"] is not None]
        traces.extend(_paths(level, tuned, rows, colour))
        early, late = ([row for row in tuned if row["last"] is is_last] for is_last in (False, True))
        traces.extend(_marks(level, early, _marker(colour, symbol, 5, 0.55), in_legend=not late))
        traces.extend(_marks(level, late, _marker(colour, symbol, 9, 0.9), in_legend=True))
        own = [row for row in of_level if row["run"] is None]
        traces.extend(_marks(level, own, _marker(colour, "star", 15, 1.0), in_legend=not tuned))
    return drawing(
        traces,
        520,
        showlegend=True,
        xaxis=titled(looks.x_title, zeroline=False),
        yaxis=titled(looks.y_title, zeroline=False),
    )


def _colour_and_symbol(level: str, factor: str, palette: Palette) -> tuple[str, str]:
    if factor == "base":
        return palette.base_colour(level), palette.base_symbol(level)
    if factor == "dataset":
        return palette.dataset_colour(level), palette.dataset_symbol(level)
    return palette.method_colour(level), palette.method_symbol(level)


def _marker(colour: str, symbol: str, size: int, opacity: float) -> Trace:
    return {"color": colour, "symbol": symbol, "size": size, "opacity": opacity}


def _marks(level: str, rows: Sequence[Row], marker: Trace, *, in_legend: bool) -> list[Trace]:
    if not rows:
        return []
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": figure_text(level),
            "legendgroup": figure_text(level),
            "showlegend": in_legend,
            "x": [_shortened(row["x"]) for row in rows],
            "y": [_shortened(row["y"]) for row in rows],
            "marker": marker,
            "hoverinfo": "text",
            "hovertext": [hover(_said(row)) for row in rows],
            "meta": {facet: [row[facet] for row in rows] for facet in FACETS},
        }
    ]


def _said(row: Row) -> list[str]:
    if row["run"] is None:
        return [f"{row['base']} before training" if row["base"] is not None else "every base before training"]
    recipe = [str(row["method"])]
    recipe += [f"{name} {row[name]}" for name in ("samples", "schedule", "seed") if row[name] is not None]
    return [f"{row['base']} trained on {row['dataset']}", ", ".join(recipe), f"after epoch {row['epoch']}"]


def _paths(level: str, tuned: Sequence[Row], rows: Sequence[Row], colour: str) -> list[Trace]:
    """One trace of all runs with several checkpoints: from the base over the epochs, with a gap after each run."""
    starts = {row["base"]: row for row in rows if row["run"] is None}
    by_run: dict[str, list[Row]] = {}
    for row in tuned:
        by_run.setdefault(row["run"], []).append(row)
    steps: list[Row | None] = []
    for of_run in by_run.values():
        if len(of_run) < 2:
            continue
        first = starts.get(of_run[0]["base"], starts.get(None))
        named = {facet: of_run[0][facet] for facet in FACETS}
        steps += [{**row, **named} for row in ([first] if first is not None else [])]
        steps += [*sorted(of_run, key=lambda row: int(row["epoch"])), None]
    if not steps:
        return []
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": figure_text(f"{level}, over epochs"),
            "legendgroup": figure_text(level),
            "showlegend": False,
            "x": [None if row is None else _shortened(row["x"]) for row in steps],
            "y": [None if row is None else _shortened(row["y"]) for row in steps],
            "line": {"color": colour, "width": 1.2},
            "opacity": 0.4,
            "hoverinfo": "skip",
            "meta": {facet: [None if row is None else row[facet] for row in steps] for facet in FACETS},
        }
    ]


def _shortened(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def movement_curves(movement: pl.DataFrame, unit: str, palette: Palette) -> Figure:
    """Mean distance from the base after each epoch: method, epochs, epoch, distance, ci_low, ci_high, n, cells."""
    traces: list[Trace] = []
    for part, rows in movement.partition_by("method", "epochs", as_dict=True, maintain_order=True).items():
        method, colour = str(part[0]), palette.method_colour(str(part[0]))
        values, lows, highs = ([0.0, *rows[name].to_list()] for name in ("distance", "ci_low", "ci_high"))
        said = [
            hover(
                [
                    f"{method}, after epoch {row['epoch']} of {row['epochs']}: {number(row['distance'])} {unit}",
                    interval(row["ci_low"], row["ci_high"], show=number),
                    f"{told_n(row)}, {row['cells']} cells",
                ]
            )
            for row in rows.iter_rows(named=True)
        ]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": figure_text(f"{method}, {part[1]} epochs"),
                "x": [0, *rows["epoch"].to_list()],
                "y": values,
                "error_y": {**error_bars(values, lows, highs), "color": colour},
                "line": {"color": colour, "dash": palette.method_dash(method), "width": 2},
                "marker": {"color": colour or NEUTRAL, "symbol": palette.method_symbol(method), "size": 8},
                "hoverinfo": "text",
                "hovertext": ["before training", *said],
                "meta": {"method": method},
            }
        )
    return drawing(
        traces,
        360,
        showlegend=True,
        xaxis=titled("epoch (0 is the base)", dtick=1, rangemode="tozero"),
        yaxis=titled(f"distance ({unit})", rangemode="tozero"),
    )

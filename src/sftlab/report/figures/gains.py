"""Gains: a forest of datasets, and a map of base x dataset cells."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from sftlab.analyse.wording import spans_zero
from sftlab.report.blocks import Figure
from sftlab.report.figures.drawing import SURE, Trace, drawing, faceted, named_places
from sftlab.report.figures.forest import Estimate, forest
from sftlab.report.palette import Palette
from sftlab.report.text import MINUS, figure_text, hover, interval, signed, told_n

Row = dict[str, Any]
WIDE = 9


def gain_forest(gains: pl.DataFrame, unit: str, palette: Palette) -> Figure:
    """Mean gain of each dataset with its 95 % interval, best on top: dataset, value, ci_low, ci_high, n.

    Where `gains` has `wider_low` and `wider_high` as well, they are the interval for a wider population of bases. Where
    it has `unranked`, datasets with such a reason stand behind those without, and their labels say so. Where it has
    `rank`, that is the order: means over different bases do not tell it.
    """
    absent = {name: pl.lit(None).alias(name) for name in ("unranked", "rank") if name not in gains.columns}
    ordered = gains.with_columns(**absent).sort(
        pl.col("unranked").is_not_null(), "rank", -pl.col("value"), nulls_last=True, maintain_order=True
    )
    estimates = [
        Estimate(
            row["dataset"],
            row["value"],
            row["ci_low"],
            row["ci_high"],
            tuple(gain_lines(row, unit) + ([f"not ranked: {row['unranked']}"] if row["unranked"] else [])),
            not spans_zero(row),
            palette.dataset_colour(row["dataset"]),
            palette.dataset_symbol(row["dataset"]),
            _both(row.get("wider_low"), row.get("wider_high")),
            f"{row['dataset']} (not ranked)" if row["unranked"] else "",
        )
        for row in ordered.iter_rows(named=True)
    ]
    return forest(estimates, f"mean gain ({unit})", facet="dataset")


def _both(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None else (low, high)


@dataclass(frozen=True)
class Places:
    """Rows (bases) and columns (datasets) of a map, in order, and the absolute gain at which its colours end."""

    bases: Sequence[str]
    datasets: Sequence[str]
    limit: float

    @property
    def decimals(self) -> int:
        """Digits after the point in every cell: two that count in the largest gains."""
        return max(0, 1 - math.floor(math.log10(self.limit)))


def gain_map(gains: pl.DataFrame, missing: pl.DataFrame, places: Places, unit: str) -> Figure:
    """Mean gain of each base x dataset cell.

    `gains` has base, dataset, value, ci_low, ci_high, n, verdict; where the sign cannot be told a cell is pale and its
    number in brackets.
    `missing` has base, dataset, status, reason for cells without a gain; they are hatched. What is in neither
    is hatched as pending.
    """
    cells = {(row["base"], row["dataset"]): row for row in gains.drop_nulls("value").iter_rows(named=True)}
    sure = {key: row for key, row in cells.items() if row["verdict"] in SURE}
    unsure = {key: row for key, row in cells.items() if key not in sure}
    traces = [
        _heat(found, places, unit, axis) for found, axis in ((sure, "coloraxis"), (unsure, "coloraxis2")) if found
    ]
    hatched = _hatched(cells, missing, places)
    traces.extend([hatched] if hatched["x"] else [])
    scale = {"cmin": -places.limit, "cmax": places.limit, "cmid": 0}
    return drawing(
        traces,
        110 + 40 * max(len(places.bases), 2),
        xaxis={**named_places(places.datasets), "side": "bottom"},
        yaxis=named_places(places.bases, downwards=True),
        coloraxis={
            **scale,
            "colorbar": {
                "title": {"text": f"gain<br>({figure_text(unit)})", "font": {"size": 12}},
                "thickness": 12,
                "outlinewidth": 0,
            },
        },
        coloraxis2={**scale, "showscale": not sure, "colorbar": {"thickness": 12, "outlinewidth": 0}},
        bargap=0.04,
        meta=faceted(x=("dataset", places.datasets), y=("base", places.bases)),
    )


def gain_lines(row: Row, unit: str) -> list[str]:
    """What hovering over a gain says: the gain, its interval, n."""
    value, low, high = (_known(row, name) for name in ("value", "ci_low", "ci_high"))
    return [f"gain {signed(value)} {unit}", interval(low, high), told_n(row)]


def _heat(cells: Mapping[tuple[str, str], Row], places: Places, unit: str, axis: str) -> Trace:
    return {
        "type": "heatmap",
        "x": list(range(len(places.datasets))),
        "y": list(range(len(places.bases))),
        "z": _grid(cells, places, lambda row: row["value"], None),
        "text": _grid(cells, places, lambda row: _bold_or_bracketed(row, places.decimals), ""),
        "texttemplate": "%{text}",
        "textfont": {"size": 12 if len(places.datasets) <= WIDE else 10},
        "hovertext": _grid(
            cells,
            places,
            lambda row: hover([_pair(row), *gain_lines(row, unit), row["verdict"] or "too small to tell"]),
            "",
        ),
        "hoverinfo": "text",
        "hoverongaps": False,
        "coloraxis": axis,
        "xgap": 3,
        "ygap": 3,
    }


def _grid(
    cells: Mapping[tuple[str, str], Row], places: Places, of: Callable[[Row], object], absent: object
) -> list[list[object]]:
    return [
        [of(cells[base, dataset]) if (base, dataset) in cells else absent for dataset in places.datasets]
        for base in places.bases
    ]


def _bold_or_bracketed(row: Row, decimals: int) -> str:
    value = _known(row, "value")
    shown = "" if value is None else f"{value:+.{decimals}f}".replace("-", MINUS)
    return f"<b>{shown}</b>" if row["verdict"] in SURE else f"({shown})"


def _pair(row: Row) -> str:
    return f"{row['base']} trained on {row['dataset']}"


def _known(row: Row, name: str) -> float | None:
    value = row[name]
    return value if isinstance(value, float) else None


def _hatched(cells: Mapping[tuple[str, str], Row], missing: pl.DataFrame, places: Places) -> Trace:
    reasons = {(row["base"], row["dataset"]): row for row in missing.iter_rows(named=True)}
    absent = [
        (across, down, base, dataset)
        for down, base in enumerate(places.bases)
        for across, dataset in enumerate(places.datasets)
        if (base, dataset) not in cells
    ]
    pending: Row = {"status": "pending", "reason": None}
    rows = [reasons.get((base, dataset), pending) for _, _, base, dataset in absent]
    return {
        "type": "bar",
        "width": 0.92,
        "x": [across for across, _, _, _ in absent],
        "base": [down - 0.46 for _, down, _, _ in absent],
        "y": [0.92] * len(absent),
        "text": [figure_text(row["status"]) for row in rows] if len(places.datasets) <= WIDE else [],
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textangle": 0,
        "marker": {"pattern": {"shape": "/", "size": 7, "solidity": 0.25}},
        "hoverinfo": "text",
        "hovertext": [
            hover([f"{base} trained on {dataset}", f"{row['status']}: {row['reason'] or 'no reason recorded'}"])
            for (_, _, base, dataset), row in zip(absent, rows, strict=True)
        ],
    }

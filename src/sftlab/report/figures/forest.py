"""Estimates with their intervals, one a line."""

from collections.abc import Sequence
from dataclasses import dataclass

from sftlab.report.blocks import Figure
from sftlab.report.figures.drawing import Trace, drawing, error_bars, faceted, named_places, zero_line
from sftlab.report.text import figure_text, hover

FEW = 8
THICK, THIN = 5, 1.5


@dataclass(frozen=True)
class Estimate:
    """One line of a forest: `lines` is what hovering over it says, `sure` whether its sign is known.

    Unknown numbers are None. `wider` is the interval for a wider population, drawn as a thin line behind the mark;
    `label` is what stands on the axis where that is more than the name.
    """

    name: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    lines: tuple[str, ...]
    sure: bool
    colour: str
    symbol: str = "circle"
    wider: tuple[float, float] | None = None
    label: str = ""


def forest(
    estimates: Sequence[Estimate], quantity: str, *, ends: tuple[float, float] | None = None, facet: str = ""
) -> Figure:
    """The estimates of a quantity from top to bottom; `ends` are those of its axis where they are not the data's.

    `facet` says what the names are levels of, so that filters can act on them.

    Marks are hollow where the sign is not known. The quantity stands flush right under the axis, where it has room even
    in a narrow figure with long names; so do the numbers of the axis, being few and never turned.
    """
    return drawing(
        [
            *(_wider(place, one.wider, one) for place, one in enumerate(estimates) if one.wider is not None),
            *(_mark(place, estimate) for place, estimate in enumerate(estimates)),
        ],
        90 + (32 if len(estimates) <= FEW else 25) * max(len(estimates), 2),
        xaxis={"zeroline": False, "tickangle": 0, "nticks": 4, **({} if ends is None else {"range": list(ends)})},
        yaxis=named_places([estimate.label or estimate.name for estimate in estimates], downwards=True),
        shapes=[zero_line("x")],
        annotations=[_flush_right(quantity)],
        meta=faceted(y=(facet, [estimate.name for estimate in estimates])) if facet else {},
    )


def _flush_right(text: str) -> dict[str, object]:
    at = {"xref": "paper", "x": 1, "xanchor": "right", "yref": "paper", "y": 0, "yanchor": "top", "yshift": -20}
    return {"text": figure_text(text), "showarrow": False, "font": {"size": 12}, **at}


def _wider(place: int, ends: tuple[float, float], estimate: Estimate) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": figure_text(f"{estimate.name}, wider interval"),
        "x": list(ends),
        "y": [place, place],
        "line": {"color": estimate.colour, "width": THIN},
        "marker": {"color": estimate.colour, "symbol": "line-ns-open", "size": 9},
        "hoverinfo": "skip",
    }


def _mark(place: int, estimate: Estimate) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": figure_text(estimate.name),
        "x": [estimate.value],
        "y": [place],
        "error_x": {
            **error_bars([estimate.value], [estimate.ci_low], [estimate.ci_high]),
            "color": estimate.colour,
            **({} if estimate.wider is None else {"thickness": THICK, "width": 0}),
        },
        "marker": {
            "color": estimate.colour,
            "size": 10,
            "symbol": estimate.symbol if estimate.sure else f"{estimate.symbol}-open",
            "line": {"color": estimate.colour, "width": 2},
        },
        "hoverinfo": "text",
        "hovertext": [hover([estimate.name, *estimate.lines])],
    }

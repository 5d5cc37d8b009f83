"""What all figures share: plain-data traces and layouts without colours of text, ground or grid."""

from collections.abc import Mapping, Sequence

from sftlab.report.blocks import Figure
from sftlab.report.text import figure_label, figure_text

Trace = dict[str, object]
SURE = ("higher", "lower")
"""Verdicts of the analysis that tell the sign of an effect."""
MARGIN = {"l": 10, "r": 16, "t": 16, "b": 44}


def drawing(traces: Sequence[Trace], height: int, **layout: object) -> Figure:
    """A figure of the traces; `layout` holds what plotly calls layout, `height` is in pixels."""
    return {
        "data": list(traces),
        "layout": {"height": height, "margin": MARGIN, "hovermode": "closest", "showlegend": False, **layout},
    }


def titled(title: str, **axis: object) -> dict[str, object]:
    """An axis with its title, which names the quantity and its unit."""
    return {"title": {"text": figure_text(title)}, **axis}


def named_places(names: Sequence[str], *, downwards: bool = False) -> dict[str, object]:
    """An axis with one place a name, at 0, 1, 2 ...; `downwards` puts the first name on top.

    Places are numbers, so that a name that looks like a number or a date is not taken for one.
    """
    ends = [-0.5, len(names) - 0.5]
    return {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [figure_label(name) for name in names],
        "range": ends[::-1] if downwards else ends,
        "zeroline": False,
        "showgrid": False,
        "fixedrange": True,
    }


def faceted(**axes: tuple[str, Sequence[str]]) -> dict[str, object]:
    """What the filters need to know of axes with named places: the facet of each (x, y), and its names in full."""
    return {axis: {"facet": facet, "names": list(names)} for axis, (facet, names) in axes.items()}


def zero_line(axis: str) -> Mapping[str, object]:
    """A dotted line where nothing changed, across the whole figure; `axis` is the one on which zero lies, x or y."""
    across = {"x": ("x", "paper"), "y": ("paper", "y")}[axis]
    ends = {"x0": 0, "x1": 0, "y0": 0, "y1": 1} if axis == "x" else {"x0": 0, "x1": 1, "y0": 0, "y1": 0}
    return {
        "type": "line",
        "xref": across[0],
        "yref": across[1],
        "layer": "between",
        "line": {"width": 1.5, "dash": "dot"},
        **ends,
    }


def error_bars(values: Sequence[float | None], lows: Sequence[float | None], highs: Sequence[float | None]) -> Trace:
    """The two sides of intervals around values; none where an end is not known."""
    pairs = list(zip(values, lows, highs, strict=True))
    return {
        "type": "data",
        "symmetric": False,
        "array": [None if value is None or high is None else high - value for value, _, high in pairs],
        "arrayminus": [None if value is None or low is None else value - low for value, low, _ in pairs],
        "thickness": 1.6,
        "width": 0,
    }

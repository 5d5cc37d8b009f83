"""What a figure shows, as rows: one a mark, a point of a curve, a cell or a bar."""

import html
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sftlab.report.blocks import Figure

Trace = Mapping[str, Any]
Place = Callable[[Any], Any]


@dataclass(frozen=True)
class DataRow:
    """One value of a figure; `x` and `y` are names on axes with named places, `note` is what hovering says."""

    series: str
    x: object
    y: object
    value: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""


def plain_text(text: object) -> str:
    """A label of a figure without plotly's markup: lines are parted by semicolons."""
    return html.unescape(re.sub(r"</?b>", "", re.sub(r"<br>", "; ", str(text))))


def traces_of(figure: Figure) -> Sequence[Trace]:
    """The traces of a figure."""
    found = figure["data"]
    assert isinstance(found, list)
    return found


def layout_of(figure: Figure) -> Mapping[str, Any]:
    """The layout of a figure."""
    found = figure["layout"]
    assert isinstance(found, Mapping)
    return found


def data_rows(figure: Figure) -> Iterator[DataRow]:
    """All values of a figure, trace by trace; gaps are left out."""
    across, down = (_places(layout_of(figure), axis) for axis in ("x", "y"))
    for trace in traces_of(figure):
        rows = {"heatmap": _cells, "bar": _bars, "scatter": _points}[trace["type"]]
        yield from rows(trace, across, down)


def _places(layout: Mapping[str, Any], axis: str) -> Place:
    """From a place on an axis to its name, in full where that is known."""
    meta = layout.get("meta", {}).get(axis)
    settings = layout.get(f"{axis}axis", {})
    if meta is not None:
        names: Sequence[str] = meta["names"]
    elif settings.get("tickmode") == "array":
        names = [plain_text(text) for text in settings["ticktext"]]
    else:
        return lambda place: place
    return lambda place: names[round(place)] if 0 <= round(place) < len(names) else place


def _cells(trace: Trace, across: Place, down: Place) -> Iterator[DataRow]:
    notes = trace.get("hovertext")
    for row, y in enumerate(trace["y"]):
        for column, x in enumerate(trace["x"]):
            value = trace["z"][row][column]
            if value is not None:
                note = plain_text(notes[row][column]) if notes else ""
                yield DataRow("", across(x), down(y), value, note=note)


def _bars(trace: Trace, across: Place, down: Place) -> Iterator[DataRow]:
    bases = trace.get("base")
    for place, (x, y) in enumerate(zip(trace["x"], trace["y"], strict=True)):
        note = _note(trace, place)
        if bases is None:
            yield DataRow(_series(trace), across(x), y, note=note)
        else:
            yield DataRow("no result", across(x), down(bases[place] + y / 2), note=note)


def _points(trace: Trace, across: Place, down: Place) -> Iterator[DataRow]:
    """The points of a trace; `customdata` has their true places where they are drawn a little beside those."""
    error_x, error_y = trace.get("error_x"), trace.get("error_y")
    for place, (x, y) in enumerate(zip(trace.get("customdata", trace["x"]), trace["y"], strict=True)):
        if x is None or y is None:
            continue
        low, high = _ends(error_x, place, x) if error_x else _ends(error_y, place, y)
        yield DataRow(_series(trace), across(x), down(y), low=low, high=high, note=_note(trace, place))


def _series(trace: Trace) -> str:
    return plain_text(trace.get("name", ""))


def _note(trace: Trace, place: int) -> str:
    notes = trace.get("hovertext") or trace.get("text") or ""
    return plain_text(notes if isinstance(notes, str) else notes[place])


def _ends(errors: Trace | None, place: int, value: float) -> tuple[float | None, float | None]:
    if errors is None:
        return None, None
    below, above = errors["arrayminus"][place], errors["array"][place]
    return None if below is None else value - below, None if above is None else value + above

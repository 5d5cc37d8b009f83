"""A plain-data figure drawn by matplotlib, for print: one function a kind of trace."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sftlab.report.blocks import Figure
from sftlab.report.figures.data import Trace, layout_of, plain_text, traces_of
from sftlab.report.palette import NEUTRAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure as Drawn

WIDTH_INCHES = 8.5
PIXELS_AN_INCH = 96
INK, SOFT, LINE = "#1b2230", "#5b6577", "#c6ccd6"
SCALES = {
    "coloraxis": ("#a8480a", "#e39a4f", "#f4f4f2", "#67a6d3", "#0b5394"),
    "coloraxis2": ("#ecdccd", "#f1f1f0", "#d3e0ea"),
}
MARKS = {
    "circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "triangle-down": "v", "cross": "P", "x": "X",
    "star": "*", "pentagon": "p", "hexagram": "h", "line-ns": "|",
}  # fmt: skip
DASHES = {
    "solid": "-", "dash": "--", "dot": ":", "dashdot": "-.", "longdash": (0, (8, 3)), "longdashdot": (0, (8, 3, 2, 3)),
}  # fmt: skip
WHITE_BEYOND = 0.65
"""Share of the colour scale from which a cell is so dark that its number is white."""


def drawn(figure: Figure, title: str) -> "Drawn":
    """The figure on white ground, as high as on the page."""
    from matplotlib.figure import Figure as Drawn

    layout = layout_of(figure)
    picture = Drawn(figsize=(WIDTH_INCHES, layout["height"] / PIXELS_AN_INCH + 0.5), layout="constrained")
    axes = picture.subplots()
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    kinds = {"heatmap": _heatmap, "bar": _bars, "scatter": _scatter}
    for trace in traces_of(figure):
        kinds[trace["type"]](axes, trace, layout)
    _shapes(axes, layout)
    for name in ("x", "y"):
        _axis(axes, name, layout.get(f"{name}axis", {}))
    for annotation in layout.get("annotations", ()):
        if not axes.get_xlabel():
            axes.set_xlabel(plain_text(annotation["text"]), loc="right", color=SOFT)
    axes.spines[["top", "right"]].set_visible(False)
    if layout.get("showlegend") and axes.get_legend_handles_labels()[1]:
        picture.legend(loc="outside lower left", frameon=False, ncols=4, fontsize=8)
    picture.draw_without_rendering()
    picture.set_layout_engine("none")
    return picture


def _heatmap(axes: "Axes", trace: Trace, layout: Mapping[str, Any]) -> None:
    import numpy as np

    scale = layout[trace["coloraxis"]]
    value = np.array([[np.nan if one is None else one for one in line] for line in trace["z"]], dtype=float)
    edges_x, edges_y = np.arange(value.shape[1] + 1) - 0.5, np.arange(value.shape[0] + 1) - 0.5
    mesh = axes.pcolormesh(
        edges_x, edges_y, np.ma.masked_invalid(value), cmap=_colours(trace["coloraxis"]), vmin=scale["cmin"],
        vmax=scale["cmax"], edgecolors="white", linewidth=1.5,
    )  # fmt: skip
    if trace.get("texttemplate"):
        _numbers(axes, trace, max(abs(scale["cmin"]), abs(scale["cmax"])))
    if scale.get("showscale", True):
        assert axes.figure is not None
        bar = axes.figure.colorbar(mesh, ax=axes, shrink=0.8, pad=0.01)
        bar.outline.set_visible(False)
        bar.set_label(plain_text(scale["colorbar"].get("title", {}).get("text", "")).replace("; ", " "), color=SOFT)


def _numbers(axes: "Axes", trace: Trace, limit: float) -> None:
    size = 8 if len(trace["x"]) <= 12 else 6
    dark = WHITE_BEYOND * limit if trace["coloraxis"] == "coloraxis" else float("inf")
    for row, y in enumerate(trace["y"]):
        for column, x in enumerate(trace["x"]):
            value, text = trace["z"][row][column], plain_text(trace["text"][row][column])
            if value is not None and text:
                colour = "white" if abs(value) > dark else INK
                axes.text(x, y, text, ha="center", va="center", fontsize=size, color=colour)


def _colours(axis: str) -> "LinearSegmentedColormap":
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(axis, SCALES[axis])


def _bars(axes: "Axes", trace: Trace, _layout: Mapping[str, Any]) -> None:
    hatched = "pattern" in trace.get("marker", {})
    looks = {"color": "white", "edgecolor": LINE, "hatch": "////"} if hatched else {"color": trace["marker"]["color"]}
    name = None if hatched else plain_text(trace.get("name", ""))
    axes.bar(trace["x"], trace["y"], width=trace.get("width", 0.8), bottom=trace.get("base"), label=name, **looks)


def _scatter(axes: "Axes", trace: Trace, layout: Mapping[str, Any]) -> None:
    x, y = ([float("nan") if one is None else one for one in trace[axis]] for axis in ("x", "y"))
    marker, line = trace.get("marker", {}), trace.get("line", {})
    colour = line.get("color") or marker.get("color") or NEUTRAL
    legend = layout.get("showlegend") and trace.get("showlegend", True)
    label = plain_text(trace.get("name", "")) if legend else None
    mode, opacity = trace.get("mode", "markers"), trace.get("opacity", 1.0)
    if "lines" in mode:
        dash = DASHES[line.get("dash", "solid")]
        axes.plot(x, y, color=colour, linewidth=line.get("width", 1.5), linestyle=dash, alpha=opacity, label=label)
        label = None
    if "markers" in mode:
        _marks(axes, (x, y), trace, label)
    for axis in ("x", "y"):
        errors = trace.get(f"error_{axis}")
        if errors:
            _intervals(axes, (x, y), errors, axis, errors.get("color", colour))


def _marks(axes: "Axes", at: tuple[Sequence[float], Sequence[float]], trace: Trace, label: str | None) -> None:
    """Marks of one symbol at a time; an open symbol is hollow."""
    marker = trace["marker"]
    symbols = marker.get("symbol", "circle")
    each = [symbols] * len(at[0]) if isinstance(symbols, str) else list(symbols)
    size = (marker.get("size", 6) * 0.75) ** 2
    for symbol in dict.fromkeys(each):
        chosen = [place for place, one in enumerate(each) if one == symbol]
        closed, colour = MARKS[symbol.removesuffix("-open")], marker.get("color", NEUTRAL)
        shape = {"marker": closed, "s": size, "alpha": marker.get("opacity", 1.0), "zorder": 3, "label": label}
        face = {"facecolors": "white", "edgecolors": colour} if symbol.endswith("-open") else {"color": colour}
        if closed == "|":
            face = {"color": colour}
        axes.scatter([at[0][one] for one in chosen], [at[1][one] for one in chosen], **shape, **face)
        label = None


def _intervals(
    axes: "Axes", at: tuple[Sequence[float], Sequence[float]], errors: Trace, axis: str, colour: str
) -> None:
    sides = [[0.0 if one is None else one for one in errors[name]] for name in ("arrayminus", "array")]
    thickness = errors.get("thickness", 1.6)
    xerr, yerr = (sides, None) if axis == "x" else (None, sides)
    axes.errorbar(*at, xerr=xerr, yerr=yerr, fmt="none", ecolor=colour, elinewidth=thickness, capsize=0)


def _shapes(axes: "Axes", layout: Mapping[str, Any]) -> None:
    for shape in layout.get("shapes", ()):
        if shape.get("yref") == "paper":
            axes.axvline(shape["x0"], color=SOFT, linestyle=":", linewidth=1, zorder=0)
        elif shape.get("xref") == "paper":
            axes.axhline(shape["y0"], color=SOFT, linestyle=":", linewidth=1, zorder=0)
        else:
            ends = [shape["x0"], shape["x1"]], [shape["y0"], shape["y1"]]
            axes.plot(*ends, color=SOFT, linestyle=":", linewidth=1, zorder=0)


def _plain_power(value: float, _: float) -> str:
    """A tick of a logarithmic axis as a plain number: matplotlib's own are mathematics, which figures do not parse."""
    return f"{value:g}"


def _axis(axes: "Axes", name: str, settings: Mapping[str, Any]) -> None:
    """Title, scale, ends and named places of one axis, x or y."""
    axis = axes.xaxis if name == "x" else axes.yaxis
    if "title" in settings:
        axis.set_label_text(plain_text(settings["title"]["text"]), color=SOFT)
    if settings.get("type") == "log":
        (axes.set_xscale if name == "x" else axes.set_yscale)("log")
        axis.set_major_formatter(_plain_power)
    if "range" in settings and settings.get("type") != "log":
        (axes.set_xlim if name == "x" else axes.set_ylim)(*settings["range"])
    if settings.get("tickmode") == "array":
        labels = [plain_text(text) for text in settings["ticktext"]]
        crowded = name == "x" and sum(len(label) for label in labels) > 80
        axis.set_ticks(settings["tickvals"], labels)
        axis.set_tick_params(length=0)
        for label in axis.get_ticklabels() if crowded else ():
            label.set(rotation=35, ha="right", rotation_mode="anchor")

"""The picture of `sftlab diff`: relative change by depth and part."""

from pathlib import Path

import polars as pl

from sftlab.errors import StoreError
from sftlab.report.palette import DATASET_COLOURS, NEUTRAL

LEGAL = (".svg", ".pdf", ".png")
PARTS = {"all": NEUTRAL, "attention": DATASET_COLOURS[0], "mlp": DATASET_COLOURS[1], "norm": DATASET_COLOURS[2]}
OUTER = ("embedding", "norm", "head", "all")


def check_figure_name(path: Path) -> None:
    """Raise StoreError for an ending that no picture is written in."""
    if path.suffix not in LEGAL:
        raise StoreError(f"a picture ends in {', '.join(LEGAL)}, got {path.name!r}")


def draw_diff(layers: pl.DataFrame, title: str, path: Path) -> None:
    """Write curves of relative change by layer, and bars of what lies outside layers, as svg, pdf or png.

    `layers` has the columns of the table `layers`. Raises StoreError where the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    curves, bars = figure.subplots(1, 2, width_ratios=(3, 1))
    inside = layers.filter(pl.col("layer").is_not_null())
    for part, colour in PARTS.items():
        rows = inside.filter(pl.col("part") == part).drop_nulls("relative_change")
        curves.plot(
            rows["layer"].to_list(),
            rows["relative_change"].to_list(),
            label=part,
            color=colour,
            marker="o",
            markersize=3,
            linewidth=2.5 if part == "all" else 1.3,
        )
    curves.set(xlabel="layer", ylabel="relative change", title=title, ylim=(0, None))
    curves.legend(frameon=False)
    outside = layers.filter(pl.col("layer").is_null() & pl.col("relative_change").is_not_null())
    values = dict(outside.select("part", "relative_change").iter_rows())
    names = [name for name in OUTER if name in values]
    bars.bar(
        ["whole model" if name == "all" else name for name in names], [values[name] for name in names], color=NEUTRAL
    )
    bars.tick_params(axis="x", rotation=35)
    bars.set(title="outside layers")
    for axes in (curves, bars):
        axes.spines[["top", "right"]].set_visible(False)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}") from error

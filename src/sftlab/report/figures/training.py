"""Loss while training, and on held-out examples after each epoch."""

from dataclasses import dataclass

import polars as pl

from sftlab.report.blocks import Figure
from sftlab.report.figures.drawing import Trace, drawing, titled
from sftlab.report.palette import Palette
from sftlab.report.text import figure_text

POINTS_A_RUN = 120
RECIPE = ("dataset", "samples", "method", "learning_rate", "schedule", "epochs", "seed")


def thinned_losses(losses: pl.DataFrame, points: int = POINTS_A_RUN) -> pl.DataFrame:
    """At most `points` rows a run: mean loss of equally many consecutive `steps`, placed at the last of them."""
    place = pl.int_range(pl.len()).over("run")
    count = pl.len().over("run")
    chunk = pl.when(count <= points).then(place).otherwise(place * points // count)
    return (
        losses.sort("run", "step")
        .with_columns(chunk.alias("chunk"))
        .group_by("run", "chunk", maintain_order=True)
        .agg(pl.col("step").last(), pl.col("loss").mean(), pl.len().alias("steps"))
        .drop("chunk")
    )


def loss_curves(losses: pl.DataFrame, runs: pl.DataFrame, palette: Palette) -> Figure:
    """Training loss by optimizer step, one line a run: colour tells the dataset, dash the method.

    `losses` is thinned (see `thinned_losses`); `runs` are those to draw, with the columns of the table `runs`.
    """
    traces = _curves(losses, runs, palette, _LOSS)
    return drawing(
        traces,
        440,
        showlegend=True,
        xaxis=titled("optimizer step", rangemode="tozero"),
        yaxis=titled("training loss (nats per token)"),
    )


def validation_curves(validation: pl.DataFrame, runs: pl.DataFrame, palette: Palette) -> Figure:
    """Bits per byte of held-out examples after each epoch (0 is the base), one line a run."""
    traces = _curves(validation, runs, palette, _VALIDATION)
    return drawing(
        traces,
        440,
        showlegend=True,
        xaxis=titled("epoch (0 is the base)", dtick=1, rangemode="tozero"),
        yaxis=titled("held-out loss (bits per byte)"),
    )


@dataclass(frozen=True)
class _Measured:
    """What is drawn against what, and how plotly words one point."""

    x: str
    y: str
    mode: str
    template: str


_LOSS = _Measured("step", "loss", "lines", "step %{x}: loss %{y:.4g} nats per token")
_VALIDATION = _Measured("epoch", "bits_per_byte", "lines+markers", "epoch %{x}: %{y:.4g} bits per byte")


def _curves(points: pl.DataFrame, runs: pl.DataFrame, palette: Palette, measured: _Measured) -> list[Trace]:
    by_run = {str(key[0]): rows for key, rows in points.sort(measured.x).group_by("run", maintain_order=True)}
    named: set[str] = set()
    traces: list[Trace] = []
    for run in runs.iter_rows(named=True):
        rows = by_run.get(run["run"])
        if rows is None:
            continue
        group = f"{run['dataset']} · {run['method']}"
        recipe = ", ".join(f"{name.replace('_', ' ')} {run[name]}" for name in RECIPE if run.get(name) is not None)
        colour = palette.dataset_colour(run["dataset"])
        traces.append(
            {
                "type": "scatter",
                "mode": measured.mode,
                "name": figure_text(group),
                "legendgroup": figure_text(group),
                "showlegend": group not in named,
                "x": rows[measured.x].to_list(),
                "y": rows[measured.y].to_list(),
                "text": figure_text(f"{run['base']}: {recipe}"),
                "hovertemplate": f"%{{text}}<br>{measured.template}<extra></extra>",
                "line": {"color": colour, "dash": palette.method_dash(run["method"]), "width": 1.6},
                "marker": {"color": colour, "symbol": palette.dataset_symbol(run["dataset"]), "size": 7},
                "opacity": 0.85,
            }
        )
        named.add(group)
    return traces

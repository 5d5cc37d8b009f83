"""Loss and learning rate while training, and loss on held-out examples after each epoch."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from sftlab.report.blocks import Figure
from sftlab.report.figures.drawing import Trace, drawing, titled
from sftlab.report.palette import Palette
from sftlab.report.text import counted, figure_text

POINTS_A_RUN = 120
POINTS_A_FIGURE = 24_000
RUNS_APART = 48
"""Beyond so many runs a figure shows their median, and the runs as one faint thicket."""
MEDIAN_POINTS = 60
SMOOTHED_SHARE = 0.1
RECIPE = ("dataset", "samples", "method", "learning_rate", "schedule", "epochs", "seed")
FAINT, CLEAR = 0.22, 0.9


def points_a_run(num_runs: int) -> int:
    """How many points each of so many runs may have in one figure."""
    return max(12, min(POINTS_A_RUN, POINTS_A_FIGURE // max(1, num_runs)))


def thinned_losses(losses: pl.DataFrame, points: int = POINTS_A_RUN) -> pl.DataFrame:
    """At most `points` rows a run: mean loss of equally many consecutive `steps`, placed at the last of them.

    `smoothed` is the mean over a tenth of the run's rows around each.
    """
    place = pl.int_range(pl.len()).over("run")
    count = pl.len().over("run")
    chunk = pl.when(count <= points).then(place).otherwise(place * points // count)
    thinned = (
        losses.sort("run", "step")
        .with_columns(chunk.alias("chunk"))
        .group_by("run", "chunk", maintain_order=True)
        .agg(pl.col("step").last(), pl.col("loss").mean(), pl.len().alias("steps"))
        .drop("chunk")
    )
    smooth = [
        rows.with_columns(
            smoothed=pl.col("loss").rolling_mean(
                max(1, round(SMOOTHED_SHARE * rows.height)) | 1, min_samples=1, center=True
            )
        )
        for _, rows in thinned.group_by("run", maintain_order=True)
    ]
    return pl.concat(smooth) if smooth else thinned.with_columns(smoothed=pl.col("loss"))


def loss_curves(losses: pl.DataFrame, runs: pl.DataFrame, palette: Palette) -> Figure:
    """Training loss by optimizer step, smoothed over raw and faint: colour tells the dataset, dash the method.

    `losses` is thinned (see `thinned_losses`); `runs` are those to draw, with the columns of the table `runs`. Of more
    than RUNS_APART runs the clear line is the median over those with the same dataset and method.
    """
    kept = losses.filter(pl.col("run").is_in(runs["run"].to_list()))
    if kept["run"].n_unique() > RUNS_APART:
        traces = _thickets(kept, runs, palette, _LOSS)
    else:
        traces = [*_curves(kept, runs, palette, _RAW_LOSS), *_curves(kept, runs, palette, _LOSS)]
    return drawing(
        traces,
        440,
        showlegend=True,
        xaxis=titled("optimizer step", rangemode="tozero"),
        yaxis=titled("training loss (nats per token)"),
    )


def validation_curves(validation: pl.DataFrame, runs: pl.DataFrame, palette: Palette) -> Figure:
    """Bits per byte of held-out examples after each epoch (0 is the base), one line a run, or medians of many."""
    kept = validation.filter(pl.col("run").is_in(runs["run"].to_list()))
    many = kept["run"].n_unique() > RUNS_APART
    traces = (_thickets if many else _curves)(kept, runs, palette, _VALIDATION)
    return drawing(
        traces,
        440,
        showlegend=True,
        xaxis=titled("epoch (0 is the base)", dtick=1, rangemode="tozero"),
        yaxis=titled("held-out loss (bits per byte)"),
    )


def learning_rate_curves(losses: pl.DataFrame, runs: pl.DataFrame, palette: Palette) -> Figure:
    """Learning rate by optimizer step, each course once, however many runs took it; colour tells the method."""
    traces: list[Trace] = []
    named: set[str] = set()
    for course in learning_rate_courses(losses, runs):
        method = course.method
        label = figure_text(f"{method}: {counted(len(course.runs), 'run')}, for example {course.runs[0]}")
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": figure_text(method),
                "legendgroup": figure_text(method),
                "showlegend": method not in named,
                "x": [step for step, _ in course.rates],
                "y": [rate for _, rate in course.rates],
                "text": label,
                "hovertemplate": "%{text}<br>step %{x}: %{y:.3g}<extra></extra>",
                "line": {"color": palette.method_colour(method), "dash": palette.method_dash(method), "width": 1.8},
                "opacity": CLEAR,
                "meta": {"method": method},
            }
        )
        named.add(method)
    return drawing(
        traces,
        320,
        showlegend=True,
        xaxis=titled("optimizer step", rangemode="tozero"),
        yaxis=titled("learning rate", rangemode="tozero", exponentformat="e"),
    )


@dataclass(frozen=True)
class Course:
    """Learning rate by step, and the names of the runs that took it."""

    method: str
    rates: tuple[tuple[int, float], ...]
    runs: tuple[str, ...]


def learning_rate_courses(losses: pl.DataFrame, runs: pl.DataFrame) -> list[Course]:
    """The different courses of the learning rate, at most POINTS_A_RUN evenly spaced steps of each and its last."""
    method_of = dict(zip(runs["run"].to_list(), runs["method"].to_list(), strict=True))
    kept = losses.filter(pl.col("run").is_in(list(method_of))).drop_nulls("learning_rate").sort("run", "step")
    courses: dict[tuple[str, tuple[tuple[int, float], ...]], list[str]] = {}
    for (name,), rows in kept.group_by("run", maintain_order=True):
        points = list(rows.select("step", "learning_rate").iter_rows())
        stride = max(1, len(points) // POINTS_A_RUN)
        thin = [*points[:-1:stride], points[-1]]
        courses.setdefault((method_of[name], tuple(thin)), []).append(str(name))
    return [Course(method, rates, tuple(names)) for (method, rates), names in courses.items()]


@dataclass(frozen=True)
class _Measured:
    """What is drawn against what, how a line looks, and how plotly words one point."""

    x: str
    y: str
    mode: str
    template: str
    opacity: float = CLEAR
    width: float = 1.8


_RAW_LOSS = _Measured("step", "loss", "lines", "step %{x}: loss %{y:.4g} nats per token", FAINT, 1.0)
_LOSS = _Measured("step", "smoothed", "lines", "step %{x}: smoothed loss %{y:.4g} nats per token")
_VALIDATION = _Measured("epoch", "bits_per_byte", "lines+markers", "epoch %{x}: %{y:.4g} bits per byte")


def _curves(points: pl.DataFrame, runs: pl.DataFrame, palette: Palette, measured: _Measured) -> list[Trace]:
    """One line a run."""
    by_run = {str(key[0]): rows for key, rows in points.sort(measured.x).group_by("run", maintain_order=True)}
    named: set[str] = set()
    traces: list[Trace] = []
    for run in runs.iter_rows(named=True):
        rows = by_run.get(run["run"])
        if rows is None:
            continue
        group = _group(run["dataset"], run["method"])
        recipe = ", ".join(f"{name.replace('_', ' ')} {run[name]}" for name in RECIPE if run.get(name) is not None)
        shown_in_legend = measured.opacity == CLEAR and group not in named
        trace = _line(rows, measured, (run["dataset"], run["method"]), palette)
        trace |= {"showlegend": shown_in_legend, "text": figure_text(f"{run['base']}: {recipe}")}
        trace["meta"] = {"base": run["base"], "dataset": run["dataset"], "method": run["method"]}
        traces.append(trace | {"hovertemplate": f"%{{text}}<br>{measured.template}<extra></extra>"})
        named.add(group)
    return traces


def _thickets(points: pl.DataFrame, runs: pl.DataFrame, palette: Palette, measured: _Measured) -> list[Trace]:
    """All runs of a dataset and method as one faint trace, and their median as a clear one."""
    described = points.join(runs.select("run", "dataset", "method"), on="run", maintain_order="left")
    faint, clear = [], []
    shade = max(0.03, FAINT * RUNS_APART / max(1, points["run"].n_unique()))
    for (dataset, method), rows in described.group_by("dataset", "method", maintain_order=True):
        looks = (str(dataset), str(method))
        gap = pl.DataFrame({measured.x: [None], measured.y: [None]})
        strands = [
            pl.concat([strand.select(measured.x, measured.y), gap], how="vertical_relaxed")
            for _, strand in rows.sort(measured.x).group_by("run", maintain_order=True)
        ]
        thicket = _line(pl.concat(strands), measured, looks, palette)
        thin = {"color": palette.dataset_colour(looks[0]), "width": 1.0}
        faint.append(
            thicket | {"mode": "lines", "line": thin, "opacity": shade, "hoverinfo": "skip", "showlegend": False}
        )
        trace = _line(_median(rows, measured), measured, looks, palette) | {"showlegend": True}
        trace["text"] = figure_text(f"median of {counted(len(strands), 'run')}: {_group(*looks)}")
        clear.append(trace | {"hovertemplate": f"%{{text}}<br>{measured.template}<extra></extra>"})
    return [*faint, *clear]


def _median(rows: pl.DataFrame, measured: _Measured) -> pl.DataFrame:
    """Median over runs of their means in steps of like place, for runs of unlike length have points at other steps."""
    longest = rows[measured.x].max()
    assert isinstance(longest, int), "runs with points have a last step"
    width = max(1, longest // MEDIAN_POINTS)
    place = ((pl.col(measured.x) - 1) // width + 1) * width
    by_run = rows.with_columns(place.alias(measured.x)).group_by("run", measured.x).agg(pl.col(measured.y).mean())
    return by_run.group_by(measured.x).agg(pl.col(measured.y).median()).sort(measured.x)


def _line(rows: pl.DataFrame, measured: _Measured, looks: tuple[str, str], palette: Palette) -> Trace:
    dataset, method = looks
    colour = palette.dataset_colour(dataset)
    return {
        "type": "scatter",
        "mode": measured.mode,
        "name": figure_text(_group(dataset, method)),
        "legendgroup": figure_text(_group(dataset, method)),
        "x": rows[measured.x].to_list(),
        "y": _shortened(rows[measured.y].to_list()),
        "line": {"color": colour, "dash": palette.method_dash(method), "width": measured.width},
        "marker": {"color": colour, "symbol": palette.dataset_symbol(dataset), "size": 7},
        "opacity": measured.opacity,
        "meta": {"dataset": dataset, "method": method},
    }


def _shortened(values: Sequence[float | None]) -> list[float | None]:
    """Six significant digits, more than a screen shows: a page of a thousand runs stays small."""
    return [None if value is None else float(f"{value:.6g}") for value in values]


def _group(dataset: str, method: str) -> str:
    return f"{dataset} \u00b7 {method}"

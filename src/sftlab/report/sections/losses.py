"""What training looked like: loss and learning rate by step, held-out loss by epoch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import polars as pl

from sftlab.report.blocks import Block, Figure, Panel, Prose, Section, Variant
from sftlab.report.figures.training import (
    RUNS_APART,
    learning_rate_courses,
    learning_rate_curves,
    loss_curves,
    points_a_run,
    thinned_losses,
    validation_curves,
)
from sftlab.report.sections.material import Material
from sftlab.report.text import counted, number

FACTORS = ("base", "dataset", "method")


def losses(material: Material) -> Section:
    """Training, learning-rate and validation curves of every run that has begun, overlaid by base, dataset, method."""
    runs = material.table("runs")
    recorded, validation = material.table("losses"), material.table("validation")
    blocks: list[Block] = []
    if recorded.is_empty() or runs.is_empty():
        blocks.append(Prose(("No run has recorded a training loss yet.",)))
    else:
        blocks += [_loss_panel(material, runs, recorded), *_rate_panels(material, runs, recorded)]
    if not (validation.is_empty() or runs.is_empty()):
        variants = _variants(
            _selections(runs, validation),
            lambda of: validation_curves(validation, of, material.palette),
            lambda of: _validation_found(validation, of),
        )
        note = "Held-out examples are those of each run's own dataset: compare slopes, not heights, across datasets."
        blocks.append(Panel("validation", "Held-out loss by epoch", "Runs", variants, note=note))
    return Section("losses", "Training", "Did the runs learn, and did they learn for too long?", tuple(blocks))


def _loss_panel(material: Material, runs: pl.DataFrame, recorded: pl.DataFrame) -> Panel:
    selections = _selections(runs, recorded)

    def drawn(of: pl.DataFrame) -> Figure:
        kept = recorded.filter(pl.col("run").is_in(of["run"].to_list()))
        return loss_curves(thinned_losses(kept, points_a_run(of.height)), of, material.palette)

    variants = _variants(selections, drawn, lambda of: _loss_found(recorded, of))
    note = (
        "Clear: mean over a tenth of the run around each point; faint: the loss itself, of long runs as means of "
        f"consecutive steps. Of more than {RUNS_APART} runs, clear: the median by step; faint: smoothed losses."
    )
    return Panel("losses", "Training loss", "Runs", variants, note=note)


def _rate_panels(material: Material, runs: pl.DataFrame, recorded: pl.DataFrame) -> list[Panel]:
    if "learning_rate" not in recorded.columns or recorded["learning_rate"].null_count() == recorded.height:
        return []
    variants = _variants(
        _selections(runs, recorded, factors=("method",)),
        lambda of: learning_rate_curves(recorded, of, material.palette),
        lambda of: _rates_found(recorded, of),
    )
    return [Panel("learning-rates", "Learning rate", "Runs", variants)]


@dataclass(frozen=True)
class Selection:
    """Some of the runs, with what they have in common."""

    label: str
    runs: pl.DataFrame
    facets: Mapping[str, str] = field(default_factory=dict)


def _selections(runs: pl.DataFrame, points: pl.DataFrame, *, factors: tuple[str, ...] = FACTORS) -> list[Selection]:
    """All runs with points, then those of each level of every factor that has several."""
    with_points = runs.filter(pl.col("run").is_in(points["run"].unique().to_list()))
    found = [Selection("all", with_points)]
    for factor in factors:
        groups = list(with_points.group_by(factor, maintain_order=True))
        if len(groups) > 1:
            found += [Selection(f"{factor} {level}", rows, {factor: str(level)}) for (level,), rows in groups]
    return found


def _variants(
    selections: list[Selection], draw: Callable[[pl.DataFrame], Figure], found: Callable[[pl.DataFrame], str]
) -> tuple[Variant, ...]:
    return tuple(Variant(one.label, draw(one.runs), (found(one.runs),), facets=one.facets) for one in selections)


def _rates_found(recorded: pl.DataFrame, runs: pl.DataFrame) -> str:
    courses = learning_rate_courses(recorded, runs)
    peaks = [max(rate for _, rate in course.rates) for course in courses]
    falling = sum(course.rates[-1][1] < max(rate for _, rate in course.rates) for course in courses)
    many = sum(len(course.runs) for course in courses)
    low, high = number(min(peaks)), number(max(peaks))
    between = f"all peak at {low}" if low == high else f"their peaks lie between {low} and {high}"
    ended = "none ended below its peak" if falling == 0 else f"{falling} of them ended below the peak"
    return (
        f"{counted(many, 'run')} took {counted(len(courses), 'course')} of the learning rate: {between}, and {ended}."
    )


def _loss_found(losses: pl.DataFrame, runs: pl.DataFrame) -> str:
    ends = (
        losses.filter(pl.col("run").is_in(runs["run"].to_list()))
        .sort("run", "step")
        .group_by("run", maintain_order=True)
        .agg(pl.col("loss").first().alias("first"), pl.col("loss").last().alias("last"))
        .drop_nulls()
    )
    higher = ends.filter(pl.col("last") >= pl.col("first")).height
    first, last = ends["first"].median(), ends["last"].median()
    assert isinstance(first, float)
    assert isinstance(last, float)
    ended = "none ended higher than it began" if higher == 0 else f"{higher} of them ended no lower than they began"
    return (
        f"Median training loss over {counted(ends.height, 'run')} went from {number(first)} nats per token at the "
        f"first recorded step to {number(last)} at the last; {ended}."
    )


def _validation_found(validation: pl.DataFrame, runs: pl.DataFrame) -> str:
    of_runs = validation.filter(pl.col("run").is_in(runs["run"].to_list())).drop_nulls("bits_per_byte")
    tuned = of_runs.filter(pl.col("epoch") > 0)
    if tuned.is_empty():
        return "No run has been measured on held-out examples after an epoch yet."
    by_run = tuned.sort("run", "epoch").group_by("run", maintain_order=True)
    summary = by_run.agg(
        pl.col("epoch").last().alias("last_epoch"),
        pl.col("epoch").get(pl.col("bits_per_byte").arg_min()).alias("best_epoch"),
        pl.col("bits_per_byte").last().alias("last"),
    )
    early = summary.filter(pl.col("best_epoch") < pl.col("last_epoch")).height
    found = (
        f"In {early} of {counted(summary.height, 'run')} the held-out loss was lowest before the last epoch"
        f"{': those trained for too long' if early else ''}."
    )
    start = of_runs.filter(pl.col("epoch") == 0).select("run", pl.col("bits_per_byte").alias("base"))
    changes = summary.join(start, on="run").select(change=pl.col("last") - pl.col("base"))["change"]
    middle = changes.median()
    if not isinstance(middle, float):
        return found
    return (
        f"{found} From the base to the last epoch it changed by {number(middle)} bits per byte "
        f"(median of {counted(changes.len(), 'run')}; lower is better)."
    )

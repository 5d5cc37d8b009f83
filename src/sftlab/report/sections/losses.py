"""What training looked like: loss by step, held-out loss by epoch."""

import polars as pl

from sftlab.report.blocks import Block, Panel, Prose, Section, Variant
from sftlab.report.figures.training import POINTS_A_RUN, loss_curves, thinned_losses, validation_curves
from sftlab.report.sections.material import Material
from sftlab.report.text import counted, number


def losses(material: Material) -> Section:
    """Training and validation curves of every run that has begun, by base."""
    runs = material.table("runs")
    blocks: list[Block] = []
    recorded = material.table("losses")
    if recorded.is_empty() or runs.is_empty():
        blocks.append(Prose(("No run has recorded a training loss yet.",)))
    else:
        drawn = thinned_losses(recorded)
        variants = tuple(
            Variant(base, loss_curves(drawn, of_base, material.palette), (_loss_found(recorded, of_base),))
            for base, of_base in _by_base(runs, recorded)
        )
        note = f"Runs of more than {POINTS_A_RUN} steps are drawn as means of consecutive steps."
        blocks.append(Panel("losses", "Training loss", "Base", variants, note=note))
    validation = material.table("validation")
    if not (validation.is_empty() or runs.is_empty()):
        variants = tuple(
            Variant(
                base,
                validation_curves(validation, of_base, material.palette),
                (_validation_found(validation, of_base),),
            )
            for base, of_base in _by_base(runs, validation)
        )
        note = "Held-out examples are those of each run's own dataset: compare slopes, not heights, across datasets."
        blocks.append(Panel("validation", "Held-out loss by epoch", "Base", variants, note=note))
    return Section("losses", "Loss curves", "Did the runs learn, and did they learn for too long?", tuple(blocks))


def _by_base(runs: pl.DataFrame, points: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    with_points = runs.filter(pl.col("run").is_in(points["run"].unique().to_list()))
    return [(str(key[0]), rows) for key, rows in with_points.group_by("base", maintain_order=True)]


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

"""Scores item by item, in the one form that every estimate is made of: a numerator and a weight.

A score is the sum of numerators over the sum of weights: bits over bytes where a metric is pooled, item scores over
their count where it is a mean.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftlab.analyse import intervals
from sftlab.analyse.clustered import clustered_paired_proportion, clustered_proportion, clustered_ratio
from sftlab.analyse.intervals import Estimate, Labels, Reals
from sftlab.analyse.metrics import METRICS, metric_named
from sftlab.store import Store
from sftlab.study.cells import Cells, ScoreCell

ITEM_KEY = ["item", "stratum", "scorer", "metric"]
READ = {
    "item": pl.String(),
    "stratum": pl.String(),
    "scorer": pl.String(),
    "metric": pl.String(),
    "score": pl.Float64(),
    "log_likelihood": pl.Float64(),
    "num_bytes": pl.Int64(),
    "parsed": pl.Boolean(),
    "status": pl.String(),
    "reason": pl.String(),
    "cluster": pl.String(),
}
POOLED = [name for name, metric in METRICS.items() if metric.pooled]
LOWER_IS_BETTER = [name for name, metric in METRICS.items() if not metric.higher_is_better]
BATCH_CELLS = 64


@dataclass(frozen=True)
class ScoreGroup:
    """All checkpoints of one base on one benchmark, and the base's own score to compare them with."""

    base: ScoreCell | None
    tuned: tuple[ScoreCell, ...]


def score_groups(cells: Cells) -> list[ScoreGroup]:
    """Score cells by base and benchmark, in the order of the study."""
    grouped: dict[tuple[str, str, str], list[ScoreCell]] = {}
    for cell in cells.scores:
        grouped.setdefault((cell.base, cell.benchmark.name, cell.benchmark_digest), []).append(cell)
    return [
        ScoreGroup(
            next((cell for cell in group if cell.run is None), None),
            tuple(cell for cell in group if cell.run is not None),
        )
        for group in grouped.values()
    ]


def item_rows(cells: Sequence[ScoreCell], store: Store) -> pl.DataFrame:
    """Item rows of these cells: key, `cell` (place in `cells`), numerator, weight, parsed, status, reason, cluster.

    Numerator and weight are null for items that are unfit or have no value.
    """
    frames = [pl.DataFrame(schema={**READ, "cell": pl.Int32()})]
    for place, cell in enumerate(cells):
        frame = store.rows(cell.identity, "items")
        if frame is not None and not frame.is_empty():
            known = [
                pl.col(name).cast(kind) if name in frame.columns else pl.lit(None, dtype=kind).alias(name)
                for name, kind in READ.items()
            ]
            frames.append(frame.select(*known, pl.lit(place, dtype=pl.Int32()).alias("cell")))
    return weighed(pl.concat(frames))


def weighed(items: pl.DataFrame) -> pl.DataFrame:
    """Items with the columns of `READ` and `cell`, in the form that estimates are made of; see `item_rows`."""
    pooled = pl.col("metric").is_in(POOLED)
    numerator = pl.when(pooled).then(-pl.col("log_likelihood") / math.log(2)).otherwise(pl.col("score"))
    weight = pl.when(pooled).then(pl.col("num_bytes").cast(pl.Float64())).otherwise(1.0)
    usable = (pl.col("status") == "done") & numerator.is_finite() & (weight > 0)
    return items.select(
        "cell",
        *ITEM_KEY,
        "parsed",
        "status",
        "reason",
        "cluster",
        numerator=pl.when(usable).then(numerator),
        weight=pl.when(usable).then(weight),
    )


def paired_rows(tuned: pl.DataFrame, base: pl.DataFrame) -> pl.DataFrame:
    """Items that both checkpoint and base have: `weight` and `numerator` of the gain (positive is better)."""
    assert not base.select(ITEM_KEY).is_duplicated().any(), "an item is scored once by each scorer and metric"
    sign = pl.when(pl.col("metric").is_in(LOWER_IS_BETTER)).then(-1.0).otherwise(1.0)
    reference = base.drop_nulls("numerator").select(
        *ITEM_KEY, pl.col("numerator").alias("base_numerator"), pl.col("weight").alias("base_weight")
    )
    both = tuned.drop_nulls("numerator").join(
        reference, on=ITEM_KEY, how="inner", nulls_equal=True, maintain_order="left"
    )
    return both.select(
        "cell",
        *ITEM_KEY,
        "weight",
        "cluster",
        numerator=sign * (pl.col("numerator") - pl.col("base_numerator")),
        tuned=pl.col("numerator"),
        base=pl.col("base_numerator"),
    )


def batches(cells: Sequence[ScoreCell]) -> Iterator[tuple[ScoreCell, ...]]:
    """The cells in portions that are held in memory together."""
    for start in range(0, len(cells), BATCH_CELLS):
        yield tuple(cells[start : start + BATCH_CELLS])


def score_estimate(rows: pl.DataFrame, metric: str) -> Estimate | None:
    """Value of one checkpoint on the items that fit, or None where none does.

    Pooled ratio for bits per byte, Wilson for items that are right or wrong, Student's t on the mean for graded ones;
    over clusters where items share any.
    """
    numerator_N, weight_N = rows["numerator"].to_numpy(), rows["weight"].to_numpy()
    if len(numerator_N) == 0:
        return None
    cluster_N = shared_clusters(rows)
    if metric_named(metric).pooled:
        return intervals.not_negative(_pooled(numerator_N, weight_N, cluster_N))
    if right_or_wrong(numerator_N):
        if cluster_N is not None:
            return clustered_proportion(numerator_N, cluster_N)
        return intervals.proportion(int(numerator_N.sum()), len(numerator_N))
    bounds = metric_named(metric).range
    found = intervals.mean(numerator_N) if cluster_N is None else clustered_ratio(numerator_N, weight_N, cluster_N)
    return found if bounds is None else intervals.within(found, bounds)


def gain_estimate(rows: pl.DataFrame, metric: str) -> Estimate | None:
    """Gain of one checkpoint over its base on the items both have (rows of `paired_rows`), or None without any."""
    numerator_N, weight_N = rows["numerator"].to_numpy(), rows["weight"].to_numpy()
    if len(numerator_N) == 0:
        return None
    cluster_N = shared_clusters(rows)
    if metric_named(metric).pooled:
        return _pooled(numerator_N, weight_N, cluster_N)
    binary = right_or_wrong(rows["tuned"].to_numpy()) and right_or_wrong(rows["base"].to_numpy())
    if cluster_N is not None:
        if binary:
            return clustered_paired_proportion(numerator_N, cluster_N)
        return clustered_ratio(numerator_N, weight_N, cluster_N)
    if binary:
        return intervals.paired_proportion(int((numerator_N > 0).sum()), int((numerator_N < 0).sum()), len(numerator_N))
    return intervals.mean(numerator_N)


def shared_clusters(rows: pl.DataFrame) -> Labels | None:
    """Which items hang together, an item without a cluster being one of its own; None where all stand alone.

    `rows` are items of one checkpoint, scorer and metric.
    """
    named = rows["cluster"]
    if named.drop_nulls().n_unique() == named.len() - named.null_count():
        return None
    own = pl.int_range(pl.len(), dtype=pl.Int64())
    label = pl.when(pl.col("cluster").is_null()).then(-1 - own).otherwise(pl.col("cluster").rank("dense"))
    return rows.select(label.cast(pl.Int64())).to_series().to_numpy()


def _pooled(numerator_N: Reals, weight_N: Reals, cluster_N: Labels | None) -> Estimate:
    if cluster_N is None:
        return intervals.ratio(numerator_N, weight_N)
    return clustered_ratio(numerator_N, weight_N, cluster_N)


def right_or_wrong(score_N: NDArray[np.float64]) -> bool:
    """Whether all scores are 0 or 1."""
    return bool(np.all((score_N == 0.0) | (score_N == 1.0)))

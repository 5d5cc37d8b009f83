"""Paired items from the tables `scores` and `items` alone, where there is no store: of imports and in notebooks."""

from collections.abc import Mapping

import polars as pl

from sftlab.analyse.gain_sets import Influence, InfluenceRows, MetricKey, last_epochs
from sftlab.analyse.item_scores import READ, paired_rows, weighed
from sftlab.analyse.schemas import conformed

PARTS = ["benchmark", "scorer", "metric"]


def influences_of_items(scores: pl.DataFrame, items: pl.DataFrame) -> Mapping[MetricKey, Influence]:
    """How much each item pulls on each run's gain, by benchmark, scorer and metric, for `gain_sets`.

    `scores` and `items` have the columns of the tables of those names; a run is joined to its items by its
    `checkpoint`. Runs are those of `last_epochs`. A benchmark is left out where any of its runs lacks items: intervals
    there leave the choice of items out.
    """
    gained = last_epochs(scores).filter(pl.col("gain").is_not_null())
    bases = dict(scores.filter(pl.col("run").is_null()).select("base", "checkpoint").iter_rows())
    by_checkpoint = items.filter(pl.col("status").fill_null("done") == "done").partition_by(
        "checkpoint", *PARTS, as_dict=True
    )
    collected: dict[MetricKey, InfluenceRows] = {}
    incomplete: set[MetricKey] = set()
    for row in gained.select("run", "checkpoint", "base", *PARTS).iter_rows(named=True):
        benchmark, scorer, metric = (str(row[name]) for name in PARTS)
        key = (benchmark, scorer, metric)
        tuned = by_checkpoint.get((row["checkpoint"], *key))
        base = by_checkpoint.get((bases.get(row["base"]), *key))
        pairs = None if tuned is None or base is None else paired_rows(_weighed(tuned), _weighed(base))
        if pairs is None or pairs.is_empty():
            incomplete.add(key)
        else:
            collected.setdefault(key, InfluenceRows()).add(row["run"], pairs)
    return {key: found.influence() for key, found in collected.items() if key not in incomplete}


def _weighed(items: pl.DataFrame) -> pl.DataFrame:
    known = items.with_columns(status=pl.col("status").fill_null("done"))
    return weighed(conformed(known, READ).with_columns(cell=pl.lit(0, dtype=pl.Int32())))

"""Paired items from the tables `scores` and `items` alone, where there is no store: of imports and in notebooks."""

from collections.abc import Mapping

import polars as pl

from sftlab.analyse.gain_sets import Influence, InfluenceRows, MetricKey, last_epochs
from sftlab.analyse.item_scores import READ, paired_rows, weighed
from sftlab.analyse.schemas import conformed

PARTS = ["benchmark", "scorer", "metric"]
KEPT = {"checkpoint": pl.String(), "benchmark": pl.String(), **READ}


def influences_of_items(scores: pl.DataFrame, items: pl.DataFrame) -> Mapping[MetricKey, Influence]:
    """How much each item pulls on each run's gain, by benchmark, scorer and metric, for `gain_sets`.

    `scores` and `items` have the columns of the tables of those names; a run is joined to its items by its
    `checkpoint`. Runs are those of `last_epochs`. A benchmark is left out where any of its runs lacks items: intervals
    there leave the choice of items out.
    """
    gained = last_epochs(scores).filter(pl.col("gain").is_not_null())
    bases = dict(scores.filter(pl.col("run").is_null()).select("base", "checkpoint").iter_rows())
    known = conformed(items, KEPT)
    done = known.with_columns(pl.col("status").fill_null("done")).filter(pl.col("status") == "done")
    by_metric = done.partition_by(*PARTS, as_dict=True)
    collected: dict[MetricKey, Influence] = {}
    for part, runs in gained.partition_by(*PARTS, as_dict=True, maintain_order=True).items():
        of_metric = by_metric.get(part)
        influence = None if of_metric is None else _influence(runs, of_metric, bases)
        if influence is not None:
            collected[str(part[0]), str(part[1]), str(part[2])] = influence
    return collected


def _influence(runs: pl.DataFrame, items: pl.DataFrame, bases: Mapping[str, str]) -> Influence | None:
    """Influences on the gains of all runs in one metric; None where any of them lacks items."""
    found = InfluenceRows()
    for (base,), of_base in runs.partition_by("base", as_dict=True, maintain_order=True).items():
        places = of_base.select("checkpoint").with_row_index("cell").with_columns(pl.col("cell").cast(pl.Int32()))
        tuned = items.join(places, on="checkpoint", maintain_order="right_left")
        reference = items.filter(pl.col("checkpoint") == bases.get(str(base), "")).with_columns(
            cell=pl.lit(0, dtype=pl.Int32())
        )
        pairs = paired_rows(weighed(tuned), weighed(reference))
        if pairs["cell"].n_unique() < of_base.height:
            return None
        found.add(of_base["run"].to_list(), pairs)
    return found.influence()

"""Answers of two models to the same items, where they differ."""

import polars as pl

from sftlab.analyse.comparing.models import Model
from sftlab.analyse.comparing.pairs import METRIC
from sftlab.analyse.item_scores import LOWER_IS_BETTER
from sftlab.analyse.schemas import ITEMS, QUESTIONS, REAL, TEXT, TRUTH, Schema, conformed, empty

SIDE_BY_SIDE: Schema = {
    "benchmark": TEXT,
    "scorer": TEXT,
    "metric": TEXT,
    "item": TEXT,
    "answer_a": TEXT,
    "answer_b": TEXT,
    "score_a": REAL,
    "score_b": REAL,
    "parsed_a": TRUTH,
    "parsed_b": TRUTH,
    "advantage": REAL,
    "written_a": TEXT,
    "written_b": TEXT,
    "prompt": TEXT,
    "gold": TEXT,
}
KEY = [*METRIC, "item", "stratum"]


def answers_side_by_side(
    items: pl.DataFrame,
    a: Model,
    b: Model,
    *,
    questions: pl.DataFrame | None = None,
    count: int | None = None,
) -> pl.DataFrame:
    """Items that two models answer differently, or score differently on where no answer is kept.

    `items` and `questions` are the tables of those names. `advantage` is A's score minus B's, oriented so that positive
    is better for A. Per benchmark, scorer and metric, items come in turns, one on which A is better and one on which B
    is, the largest differences first, then those that both score alike; `count` keeps that many of each metric.
    """
    known = conformed(items, ITEMS)
    sides = {
        name: known.filter(pl.col("checkpoint") == model.checkpoint).select(
            *KEY, *(pl.col(column).alias(f"{column}_{name}") for column in ("answer", "written", "score", "parsed"))
        )
        for name, model in (("a", a), ("b", b))
    }
    both = sides["a"].join(sides["b"], on=KEY, how="inner", nulls_equal=True, maintain_order="left")
    sign = pl.when(pl.col("metric").is_in(LOWER_IS_BETTER)).then(-1.0).otherwise(1.0)
    told = both.with_columns(advantage=sign * (pl.col("score_a") - pl.col("score_b")))
    no_answer = pl.col("answer_a").is_null() & pl.col("answer_b").is_null()
    scored_apart = (pl.col("advantage") != 0).fill_null(value=False)
    differ = told.filter(
        pl.when(no_answer).then(scored_apart).otherwise(pl.col("answer_a").ne_missing(pl.col("answer_b")))
    )
    side = pl.col("advantage").sign().fill_null(0.0)
    ordered = (
        differ.with_row_index("place")
        .with_columns(side=side)
        .sort(pl.col("advantage").abs(), "place", descending=[True, False], nulls_last=True)
        .with_columns(turn=pl.int_range(pl.len()).over(*METRIC, "side"), alike=pl.col("side") == 0)
        .sort("alike", "turn", "side", descending=[False, False, True])
    )
    by_metric = ordered.join(
        both.select(METRIC).unique(maintain_order=True).with_row_index("order"), on=METRIC, maintain_order="left"
    ).sort("order", maintain_order=True)
    kept = by_metric if count is None else by_metric.group_by(METRIC, maintain_order=True).head(count)
    asked = empty(QUESTIONS) if questions is None else conformed(questions, QUESTIONS)
    of_item = ["benchmark", "item", "stratum"]
    return conformed(kept.join(asked, on=of_item, how="left", nulls_equal=True, maintain_order="left"), SIDE_BY_SIDE)

"""Scores of two models beside each other: paired item by item where both models' items are known."""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
from scipy import stats

from sftlab.analyse.comparing.models import Model
from sftlab.analyse.intervals import Estimate, VariancePart, combined
from sftlab.analyse.item_scores import READ, gain_estimate, paired_rows, right_or_wrong, shared_clusters, weighed
from sftlab.analyse.metrics import metric_named
from sftlab.analyse.schemas import COUNT, REAL, TEXT, TRUTH, Schema, conformed, from_rows
from sftlab.analyse.verdicts import Row, adjust

METRIC = ["benchmark", "scorer", "metric"]
BY_ITEM, BY_SCORE, BY_NOTHING = "items", "scores", "none"

PAIRED_SCORES: Schema = {
    "benchmark": TEXT,
    "scorer": TEXT,
    "metric": TEXT,
    "main": TRUTH,
    "unit": TEXT,
    "value_a": REAL,
    "value_b": REAL,
    "difference": REAL,
    "se": REAL,
    "ci_low": REAL,
    "ci_high": REAL,
    "n": COUNT,
    "paired_by": TEXT,
    "won": COUNT,
    "lost": COUNT,
    "unparsed_a": COUNT,
    "unparsed_b": COUNT,
    "status": TEXT,
    "reason": TEXT,
    "p": REAL,
    "p_adjusted": REAL,
    "verdict": TEXT,
}


@dataclass(frozen=True)
class _Difference:
    """How much better A is than B, and how that is known: by items, by two scores, or without an interval."""

    estimate: Estimate
    p: float | None
    paired_by: str
    won: int | None = None
    lost: int | None = None
    items: int | None = None


def paired_scores(scores: pl.DataFrame, items: pl.DataFrame, a: Model, b: Model) -> pl.DataFrame:
    """Every benchmark and metric of two models: `difference` is A minus B, oriented so that positive is better.

    `scores` and `items` are the tables of those names. Where both models' items are known, the difference is that of
    the `n` items both have (`paired_by` items): Bonett & Price's interval and the exact test of McNemar (1947) where
    items are right or wrong, the pooled ratio or Student's t of the pairs elsewhere, over clusters where items share a
    passage (McNemar's p-value is then at least that of the clusters); `won` and `lost` count the items
    on which A is better and worse. Else it is that of the two scores as if they were independent (`scores`), wider than
    pairs would be, or without an interval (`none`). It speaks of these very models on items like these, not of
    their recipes: that takes seeds and bases. p-values are adjusted (Benjamini & Hochberg) over benchmarks, for main
    metrics, and for all others. A metric that either model does not have is a row with a status and a reason.
    """
    sides = [model.rows(scores) for model in (a, b)]
    by_item = _item_differences(items, a, b)
    known = scores.filter(pl.col("metric").is_not_null()).select(*METRIC, "main").unique(METRIC, maintain_order=True)
    rows: list[Row] = []
    for named in known.iter_rows(named=True):
        key = tuple(named[name] for name in METRIC)
        row_a, row_b = (_only(side, key) for side in sides)
        if row_a is not None or row_b is not None:
            rows.append({**named, "unit": metric_named(key[2]).unit, **_columns(row_a, row_b, by_item.get(key))})
    for main in (True, False):
        adjust([row for row in rows if bool(row["main"]) is main], "difference")
    return from_rows(rows, PAIRED_SCORES)


def _only(side: pl.DataFrame, key: tuple[str, ...]) -> Row | None:
    found = side.filter(pl.col(name) == value for name, value in zip(METRIC, key, strict=True))
    return None if found.is_empty() else found.row(0, named=True)


def _columns(row_a: Row | None, row_b: Row | None, by_item: _Difference | None) -> Row:
    missing = [(name, row) for name, row in (("A", row_a), ("B", row_b)) if row is None or row["value"] is None]
    values: Row = {
        f"{name}_{side}": None if row is None else row[name]
        for side, row in (("a", row_a), ("b", row_b))
        for name in ("value", "unparsed")
    }
    if missing or row_a is None or row_b is None:
        side, row = missing[0]
        status = "pending" if row is None else str(row["status"])
        why = "not scored in this metric" if row is None else row["reason"] or row["status"]
        return {**values, "difference": None, "p": None, "n": 0, "status": status, "reason": f"{side}: {why}"}
    found = by_item or _of_scores(row_a, row_b)
    estimate = found.estimate
    return {
        **values,
        "difference": estimate.value,
        "se": estimate.se,
        "ci_low": estimate.ci_low,
        "ci_high": estimate.ci_high,
        "n": estimate.n if found.items is None else found.items,
        "paired_by": found.paired_by,
        "won": found.won,
        "lost": found.lost,
        "status": "done",
        "p": found.p,
    }


def _of_scores(row_a: Row, row_b: Row) -> _Difference:
    """The difference of two scores whose items are not known."""
    sign = 1.0 if metric_named(row_a["metric"]).higher_is_better else -1.0
    value = sign * (row_a["value"] - row_b["value"])
    counts = [row["n"] or 0 for row in (row_a, row_b)]
    if min(counts) < 2 or row_a["se"] is None or row_b["se"] is None:
        return _Difference(Estimate(value, None, None, None, min(counts)), None, BY_NOTHING)
    parts = [VariancePart(row["se"] ** 2, row["n"] - 1) for row in (row_a, row_b)]
    estimate = combined(value, *parts, n=min(counts))
    return _Difference(estimate, estimate.p, BY_SCORE)


def _item_differences(items: pl.DataFrame, a: Model, b: Model) -> dict[tuple[str, ...], _Difference]:
    return {key: _of_items(pairs, key[2]) for key, pairs in item_pairs(items, a, b) if pairs.height}


def item_pairs(items: pl.DataFrame, a: Model, b: Model) -> Iterator[tuple[tuple[str, ...], pl.DataFrame]]:
    """Rows of `paired_rows` (A as tuned, B as base) by benchmark, scorer and metric."""
    sides = [
        items.filter(pl.col("checkpoint") == model.checkpoint).partition_by(METRIC, as_dict=True, maintain_order=True)
        for model in (a, b)
    ]
    for key in sides[0]:
        if key in sides[1]:
            yield tuple(map(str, key)), paired_rows(_weighed(sides[0][key]), _weighed(sides[1][key]))


def _weighed(items: pl.DataFrame) -> pl.DataFrame:
    return weighed(conformed(items, READ).with_columns(cell=pl.lit(0, dtype=pl.Int32())))


def _of_items(pairs: pl.DataFrame, metric: str) -> _Difference:
    estimate = gain_estimate(pairs, metric)
    assert estimate is not None, "there are pairs"
    won, lost = int((pairs["numerator"] > 0).sum()), int((pairs["numerator"] < 0).sum())
    binary = right_or_wrong(pairs["tuned"].to_numpy()) and right_or_wrong(pairs["base"].to_numpy())
    p = estimate.p
    if binary and not metric_named(metric).pooled:
        exact = float(stats.binomtest(won, won + lost).pvalue) if won + lost else 1.0
        p = exact if p is None or shared_clusters(pairs) is None else max(exact, p)
    return _Difference(estimate, p, BY_ITEM, won, lost, pairs.height)

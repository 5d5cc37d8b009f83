"""Models that were asked different items, and examples that one base saw and another did not."""

from collections.abc import Iterator

import polars as pl

from sftlab.analyse.audit.finding import AuditFinding, Tables
from sftlab.analyse.wording import counted, counted_range

MUCH = 0.01
"""Share of examples cut or dropped under one base but not another from which it matters."""


def unequal_items(tables: Tables) -> Iterator[AuditFinding]:
    """Benchmarks whose scores rest on different numbers of items."""
    scores = tables["scores"].filter(pl.col("value").is_not_null() & pl.col("n").is_not_null())
    for (benchmark, scorer), rows in scores.group_by("benchmark", "scorer", maintain_order=True):
        items = rows["n"].to_numpy()
        low, high = int(items.min()), int(items.max())
        if low < high:
            yield AuditFinding(
                check="unequal_items",
                severity="warning",
                text=f"{scorer} scores on {benchmark} rest on {counted_range(low, high, 'item')}",
                why="models were asked different items, so their scores compare what they were asked as well; gains, "
                "which are paired by item, do not",
                advice="compare gains, or use fewer shots so that every item fits every base",
                rows=rows.filter(pl.col("n") < high).select(
                    "checkpoint", "base", "dataset", "benchmark", "scorer", "n"
                ),
            )


def unequal_examples(tables: Tables) -> Iterator[AuditFinding]:
    """Datasets of which some bases saw fewer, or shorter, examples than others."""
    runs = tables["runs"]
    if not {"examples", "dropped", "truncated"} <= set(runs.columns):
        return
    dropped, truncated = pl.col("dropped").fill_null(0), pl.col("truncated").fill_null(0)
    asked_for = pl.col("examples") + dropped
    known = runs.filter(asked_for > 0).with_columns(lost=(dropped + truncated) / asked_for)
    for (dataset,), rows in known.group_by("dataset", maintain_order=True):
        of_base = rows.group_by("base", maintain_order=True).agg(pl.col("lost").max(), pl.col("run").first())
        ordered = of_base.sort("lost", maintain_order=True).to_dicts()
        least, worst = ordered[0], ordered[-1]
        if worst["lost"] - least["lost"] > MUCH:
            yield AuditFinding(
                check="unequal_examples",
                severity="warning",
                text=f"of {dataset}, {100 * worst['lost']:.0f} % of the examples were cut or dropped for "
                f"{worst['base']}, {100 * least['lost']:.0f} % for {least['base']}",
                why="bases were not trained on the same text: a difference between them is one of data as well",
                advice="raise `max_tokens`, or set `max_bytes` so that the same examples fit every base",
                rows=of_base,
            )


def unfinished(tables: Tables) -> Iterator[AuditFinding]:
    """Cells that failed or do not fit: what means leave out."""
    for name in ("runs", "scores"):
        missing = tables[name].filter(pl.col("status").is_in(["failed", "unfit"]))
        if missing.is_empty():
            continue
        most = missing["reason"].drop_nulls().mode().sort()
        reason = f"; most often: {str(most[0]).rstrip('.')}" if len(most) else ""
        kept = [
            one for one in ("run", "checkpoint", "base", "dataset", "benchmark", "status", "reason") if one in missing
        ]
        yield AuditFinding(
            check="unfinished",
            severity="warning",
            text=f"{counted(missing.height, 'row')} of the table {name} failed or do not fit{reason}",
            why="what could not be run is seldom like the rest, and every mean leaves it out",
            advice="`sftlab status` says why; run again after mending it",
            rows=missing.select(kept),
        )

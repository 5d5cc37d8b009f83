"""Scores that the metric cannot give, and scores that are the same for everybody."""

from collections.abc import Iterator

import polars as pl

from sftlab.analyse.audit.finding import KEYS, AuditFinding, Tables
from sftlab.analyse.known_benchmarks import known_benchmark
from sftlab.analyse.metrics import metric_named
from sftlab.analyse.wording import counted, plain

MOSTLY = 0.9
FEWEST = 5
"""Models that a benchmark needs before one value for most of them means anything."""
KEPT = ("checkpoint", "base", "dataset", "benchmark", "scorer", "metric", "value")


def impossible_values(tables: Tables) -> Iterator[AuditFinding]:
    """Values outside what the metric can be, and missing values without a reason."""
    scores = tables["scores"]
    known = scores.filter(pl.col("value").is_not_null())
    for (benchmark, _, metric), rows in known.group_by("benchmark", "scorer", "metric", maintain_order=True):
        found = known_benchmark(str(benchmark))
        low = found.low if found else 0.0
        high = found.high if found else (1.0 if metric_named(str(metric)).share else float("inf"))
        wrong = rows.filter(~pl.col("value").is_between(low, high) | pl.col("value").is_infinite())
        if not wrong.is_empty():
            yield AuditFinding(
                check="impossible_values",
                severity="error",
                text=f"{counted(wrong.height, 'value')} of {metric} on {benchmark} lie outside "
                f"[{plain(low)}, {plain(high)}]",
                why="the metric cannot give them: they are of another metric or scale, or broken",
                advice="find out where the numbers come from; the analyses leave them out",
                rows=wrong.select(KEPT),
                excluded=wrong.select(KEYS),
            )
    unexplained = scores.filter(pl.col("value").is_null() & (pl.col("status") == "done"))
    if not unexplained.is_empty():
        yield AuditFinding(
            check="impossible_values",
            severity="warning",
            text=f"{counted(unexplained.height, 'score')} are missing without a reason",
            why="models that could not be scored are seldom like the others, so that means leave out a kind of model",
            advice="find out what became of them",
            rows=unexplained.select("checkpoint", "base", "dataset", "benchmark", "scorer", "metric", "status"),
        )


def constant_values(tables: Tables) -> Iterator[AuditFinding]:
    """Benchmarks on which at least nine of ten models have the very same score."""
    known = tables["scores"].filter(pl.col("value").is_not_null())
    for (benchmark, scorer, metric), rows in known.group_by("benchmark", "scorer", "metric", maintain_order=True):
        counts = rows["value"].value_counts(sort=True)
        most = int(counts["count"][0])
        if rows.height >= FEWEST and most >= MOSTLY * rows.height:
            value = counts["value"][0]
            yield AuditFinding(
                check="constant_values",
                severity="warning",
                text=f"{most} of {counted(rows.height, 'model')} have the same {metric} on {benchmark} ({scorer}): "
                f"{plain(value)}",
                why="a benchmark that does not tell models apart says nothing of data; answers may never be read, or "
                "the benchmark is out of these models' reach",
                advice="look at some answers, or score the benchmark by likelihood",
                rows=rows.filter(pl.col("value") == value).select(KEPT),
            )

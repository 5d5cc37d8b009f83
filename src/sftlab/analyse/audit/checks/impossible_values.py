"""Scores that the metric cannot give, and scores that are the same for everybody."""

import math
from collections.abc import Iterator

import polars as pl

from sftlab.analyse.audit.finding import KEYS, AuditFinding, Tables
from sftlab.analyse.known_benchmarks import known_benchmark
from sftlab.analyse.metrics import is_metric, metric_named
from sftlab.analyse.wording import counted, plain

MOSTLY = 0.9
FEWEST = 5
"""Models that a benchmark needs before one value for most of them means anything."""
ROUNDING = 1e-9
"""How far means of values at the edge may come out beyond it."""
KEPT = ("checkpoint", "base", "dataset", "benchmark", "scorer", "metric", "value")


def impossible_values(tables: Tables) -> Iterator[AuditFinding]:
    """Values outside what the metric can be, and missing values without a reason."""
    scores = tables["scores"]
    known = scores.filter(pl.col("value").is_not_null())
    for (benchmark, _, metric), rows in known.group_by("benchmark", "scorer", "metric", maintain_order=True):
        low, high = _range_of(str(benchmark), str(metric))
        within = pl.col("value").is_between(low - ROUNDING, high + ROUNDING)
        wrong = rows.filter(~within | pl.col("value").is_infinite())
        if not wrong.is_empty():
            are = "is" if wrong.height == 1 else "are"
            bounds = "not finite" if math.isinf(high - low) else f"outside [{plain(low)}, {plain(high)}]"
            yield AuditFinding(
                check="impossible_values",
                severity="error",
                text=f"{counted(wrong.height, 'value')} of {metric} on {benchmark} {are} {bounds}",
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
            text=f"{counted(unexplained.height, 'score')} {'is' if unexplained.height == 1 else 'are'} missing without "
            "a reason",
            why="models that could not be scored are seldom like the others, so that means leave out a kind of model",
            advice="find out what became of them",
            rows=unexplained.select("checkpoint", "base", "dataset", "benchmark", "scorer", "metric", "status"),
        )


def _range_of(benchmark: str, metric: str) -> tuple[float, float]:
    """What the metric can be; of a metric that is not known by name, what its benchmark gives, where that is known."""
    if is_metric(metric):
        return metric_named(metric).range or (0.0, float("inf"))
    known = known_benchmark(benchmark)
    return (known.low, known.high) if known else (float("-inf"), float("inf"))


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

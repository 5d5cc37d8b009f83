"""Scores far from what their base, data and benchmark let one expect."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from sftlab.analyse.audit.finding import AuditFinding, Tables
from sftlab.analyse.gain_sets import codes
from sftlab.analyse.intervals import Reals
from sftlab.analyse.wording import counted

FAR = 8.0
"""Robust standard deviations (1.4826 x median absolute deviation)."""
FEWEST = 20
SWEEPS = 10


def outliers(tables: Tables) -> Iterator[AuditFinding]:
    """Scores more than eight robust deviations from a fit of base plus dataset (median polish, Tukey 1977)."""
    scores = tables["scores"].filter(pl.col("value").is_not_null() & pl.col("run").is_not_null())
    found = []
    for _, rows in scores.group_by("benchmark", "scorer", "metric", maintain_order=True):
        if rows.height < FEWEST or rows["base"].n_unique() < 2:
            continue
        residual_N = _residuals(rows)
        scale = 1.4826 * float(np.median(np.abs(residual_N)))
        if scale > 0:
            with_size = rows.with_columns(deviations=pl.Series(residual_N / scale))
            found.append(with_size.filter(pl.col("deviations").abs() > FAR))
    far = pl.concat(found) if found else None
    if far is None or far.is_empty():
        return
    yield AuditFinding(
        check="outliers",
        severity="note",
        text=f"{counted(far.height, 'score')} {'lies' if far.height == 1 else 'lie'} more than {FAR:.0f} robust "
        f"deviations from what base and data let one expect, on {counted(far['benchmark'].n_unique(), 'benchmark')}",
        why="single models that broke down (or were mixed up) pull means and correlations",
        advice="look at their losses and answers",
        rows=far.sort(pl.col("deviations").abs(), descending=True).select(
            "checkpoint", "base", "dataset", "epoch", "benchmark", "scorer", "metric", "value", "deviations"
        ),
    )


def _residuals(rows: pl.DataFrame) -> Reals:
    residual_N = rows["value"].to_numpy().astype(np.float64).copy()
    groups = (codes(rows, "base", "method", "schedule"), codes(rows, "dataset", "samples"))
    for _ in range(SWEEPS):
        for group_N in groups:
            for group in np.unique(group_N):
                mask_N = group_N == group
                residual_N[mask_N] -= np.median(residual_N[mask_N])
    return residual_N

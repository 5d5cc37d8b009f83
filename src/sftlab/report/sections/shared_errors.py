"""How far the errors of items are the same for all bases, which were asked the same ones."""

import polars as pl

from sftlab.analyse.ranking import THESE
from sftlab.report.columnar import shortened


def shared_errors(gains: pl.DataFrame, ranking: pl.DataFrame, seed_variance: float) -> float | None:
    """Share of the variance of items that bases have in common; 1 where it cannot be told.

    The page ranks whatever models the reader's filters leave, and cannot go back to the items. The answers' standard
    errors for the bases tried, which come from the items, lie between those of errors that are wholly shared and of
    errors that each base has alone: where they lie tells the share. Of several datasets the largest counts, so that
    the page errs on the side of a tie; for the same reason all is shared where bases answered different numbers of
    items. `gains` has base, family, dataset, gain, gain_se and gain_n of every model in one metric, `ranking` the rows
    of that metric.
    """
    if gains["gain_n"].drop_nulls().n_unique() > 1:
        return 1.0
    known = ranking.filter(pl.col("population") == THESE).drop_nulls("se")
    found = [
        _shared(gains.filter(pl.col("dataset") == dataset).drop_nulls("gain"), se, seed_variance)
        for dataset, se in known.select("dataset", "se").iter_rows()
    ]
    shares = [share for share in found if share is not None]
    return shortened(min(1.0, max(0.0, *shares))) if shares else 1.0


def _shared(gains: pl.DataFrame, se: float, seed_variance: float) -> float | None:
    """Of one dataset; None where an error is not known or bases have none."""
    if gains.is_empty() or gains["gain_se"].null_count():
        return None
    by_base = gains.group_by("base", "family", maintain_order=True).agg(
        variance=pl.col("gain_se").pow(2).mean(), seeds=seed_variance / pl.len()
    )
    several = by_base["family"].n_unique() > 1
    unit = pl.col("family") if several else pl.col("base")
    weighted = by_base.with_columns(weight=1 / pl.len().over(unit) / (unit.n_unique()))
    total = weighted.select(
        whole=(pl.col("weight") * pl.col("variance").sqrt()).sum().pow(2),
        own=(pl.col("weight").pow(2) * pl.col("variance")).sum(),
        seeds=(pl.col("weight").pow(2) * pl.col("seeds")).sum(),
    ).row(0, named=True)
    room = float(total["whole"] - total["own"])
    return float(se**2 - total["seeds"] - total["own"]) / room if room > 0 else None

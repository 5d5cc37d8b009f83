"""All siblings of a base against one another, with the share of false findings held down.

Axes: R siblings of one base, I items, P pairs of siblings.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import special

from sftlab.analyse.comparing.pairs import BY_ITEM, BY_NOTHING, BY_SCORE
from sftlab.analyse.gain_sets import GainSet
from sftlab.analyse.intervals import TAIL, Labels, Reals
from sftlab.analyse.multiplicity import benjamini_hochberg
from sftlab.analyse.schemas import COUNT, REAL, TEXT, TRUTH, Schema, empty
from sftlab.analyse.verdicts import CANNOT_TELL, HIGHER, LEVEL, LOWER, TOO_SMALL

SIBLINGS: Schema = {
    "base": TEXT,
    "benchmark": TEXT,
    "scorer": TEXT,
    "metric": TEXT,
    "main": TRUTH,
    "unit": TEXT,
    "run": TEXT,
    "other": TEXT,
    "difference": REAL,
    "se": REAL,
    "ci_low": REAL,
    "ci_high": REAL,
    "n": COUNT,
    "paired_by": TEXT,
    "p": REAL,
    "p_adjusted": REAL,
    "verdict": TEXT,
}
FEWEST_ITEMS = 2


def sibling_grid(sets: Sequence[GainSet], *, base: str | None = None) -> pl.DataFrame:
    """Frame `SIBLINGS`: every pair of runs of one base on every benchmark; `difference` is run minus other, in gain.

    One row a pair, the better run first. Paired by item (by passage, where items share one; `n` counts them): the
    interval is Student's t of the difference of linearised influences on the two gains, and never narrower than that of
    Bonett & Price (2012) with no item changed where items are right or wrong. It speaks of these very models. p-values
    are adjusted (Benjamini & Hochberg) over all pairs, bases and benchmarks together, for main metrics and for all
    others: of the pairs called `higher`, at most one in twenty is expected to be none. Where no items are known,
    `paired_by` is not `items` but `scores`: the two scores count as independent, which is wider; or `none`, without
    interval, p-value or verdict.
    """
    parts = [
        part
        for gain_set in sets
        for name in gain_set.rows["base"].unique(maintain_order=True)
        if base is None or name == base
        for part in _pairs(gain_set, name)
    ]
    frame = pl.concat([empty(SIBLINGS), *parts])
    return pl.concat([_adjusted(frame.filter(pl.col("main") == main)) for main in (True, False)])


@dataclass(frozen=True, eq=False)
class _Siblings:
    """The pairs of one base's runs: places in the gain set of the better and of the other run of each."""

    gain_set: GainSet
    better: Labels
    other: Labels

    @property
    def difference(self) -> Reals:
        """By how much the better run gained more."""
        return self.gain_set.gains[self.better] - self.gain_set.gains[self.other]


def _pairs(gain_set: GainSet, base: str) -> Iterator[pl.DataFrame]:
    place_R = np.flatnonzero(gain_set.rows["base"].eq(base).to_numpy())
    if len(place_R) < 2:
        return
    first_P, second_P = (place_R[side] for side in np.triu_indices(len(place_R), k=1))
    ahead_P = gain_set.gains[first_P] >= gain_set.gains[second_P]
    pairs = _Siblings(gain_set, np.where(ahead_P, first_P, second_P), np.where(ahead_P, second_P, first_P))
    names = gain_set.rows["run"]
    columns = {
        "run": names.gather(pairs.better),
        "other": names.gather(pairs.other),
        "difference": pairs.difference,
        **_uncertainty(pairs),
    }
    said = {"base": base, **gain_set.metric_columns, "p_adjusted": None, "verdict": None}
    frame = pl.DataFrame(columns).with_columns(pl.lit(value).alias(name) for name, value in said.items())
    yield frame.select(pl.col(name).cast(kind) for name, kind in SIBLINGS.items())


def _uncertainty(pairs: _Siblings) -> dict[str, pl.Series]:
    """Standard error, interval, items and p-value of every difference; null where they cannot be known."""
    by_item = pairs.gain_set.pull is not None
    error_P, items_P = _by_items(pairs) if by_item else _by_scores(pairs)
    known = pl.Series((items_P >= FEWEST_ITEMS) & ~np.isnan(error_P))
    student = _student(pairs.difference, error_P, np.maximum(items_P - 1, 1))
    how = pl.when(known).then(pl.lit(BY_ITEM if by_item else BY_SCORE)).otherwise(pl.lit(BY_NOTHING))
    return {
        **{name: pl.select(pl.when(known).then(pl.Series(value))).to_series() for name, value in student.items()},
        "n": pl.Series(items_P),
        "paired_by": pl.select(how).to_series(),
    }


def _by_items(pairs: _Siblings) -> tuple[Reals, Labels]:
    """Standard error of each difference over the choice of items, and the fewer items of its two runs."""
    assert pairs.gain_set.pull is not None
    used = np.unique(np.concatenate([pairs.better, pairs.other]))
    pull_RI = pairs.gain_set.pull[used].astype(np.float64)
    items_R = np.count_nonzero(~np.isnan(pull_RI), axis=1)
    scaled_RI = np.nan_to_num(pull_RI) * np.sqrt(items_R / np.maximum(items_R - 1, 1))[:, None]
    product_RR = scaled_RI @ scaled_RI.T
    square_R = np.diag(product_RR)
    better_P, other_P = np.searchsorted(used, pairs.better), np.searchsorted(used, pairs.other)
    variance_P = np.maximum(square_R[better_P] + square_R[other_P] - 2 * product_RR[better_P, other_P], 0.0)
    if pairs.gain_set.binary:
        least_R = 2.0 / (items_R + 2.0) ** 2
        variance_P = np.maximum(variance_P, np.maximum(least_R[better_P], least_R[other_P]))
    return np.sqrt(variance_P), np.minimum(items_R[better_P], items_R[other_P])


def _by_scores(pairs: _Siblings) -> tuple[Reals, Labels]:
    """Standard error of each difference of two scores taken as independent, NaN where that of a score is not known."""
    rows = pairs.gain_set.rows
    if not {"se", "n"} <= set(rows.columns):
        return np.full(len(pairs.better), np.nan), np.zeros(len(pairs.better), dtype=np.int64)
    error_R = rows["se"].cast(REAL).fill_null(math.nan).to_numpy()
    items_R = rows["n"].cast(COUNT).fill_null(0).to_numpy()
    error_P = np.hypot(error_R[pairs.better], error_R[pairs.other])
    return error_P, np.minimum(items_R[pairs.better], items_R[pairs.other])


def _student(value_P: Reals, se_P: Reals, df_P: Labels) -> dict[str, Reals]:
    half_P = special.stdtrit(df_P, 1 - TAIL) * se_P
    with np.errstate(divide="ignore", invalid="ignore"):
        t_P = np.where(value_P == 0.0, 0.0, np.abs(value_P) / se_P)
    p_P = 2 * special.stdtr(df_P, -t_P)
    return {"se": se_P, "ci_low": value_P - half_P, "ci_high": value_P + half_P, "p": p_P}


def _adjusted(frame: pl.DataFrame) -> pl.DataFrame:
    tested = frame.with_row_index("place").drop_nulls("p")
    adjusted = tested.select("place", p_new=pl.Series(benjamini_hochberg(tested["p"].to_list()), dtype=REAL))
    joined = frame.with_row_index("place").join(adjusted, on="place", how="left", maintain_order="left")
    verdict = (
        pl.when(pl.col("p_new").is_null())
        .then(pl.lit(TOO_SMALL))
        .when(pl.col("p_new") > LEVEL)
        .then(pl.lit(CANNOT_TELL))
        .when(pl.col("difference") > 0)
        .then(pl.lit(HIGHER))
        .otherwise(pl.lit(LOWER))
    )
    return joined.with_columns(p_adjusted=pl.col("p_new"), verdict=verdict).select(list(SIBLINGS))


STANDINGS: Schema = {
    "base": TEXT,
    "benchmark": TEXT,
    "scorer": TEXT,
    "metric": TEXT,
    "main": TRUTH,
    "unit": TEXT,
    "run": TEXT,
    "gain": REAL,
    "ci_low": REAL,
    "ci_high": REAL,
    "beats": COUNT,
    "loses_to": COUNT,
    "unclear": COUNT,
}


def sibling_standings(sets: Sequence[GainSet], grid: pl.DataFrame) -> pl.DataFrame:
    """Frame `STANDINGS`: how many siblings each run surely beats and loses to on each benchmark, best gain first.

    `grid` is what `sibling_grid` found; runs without a sibling are not in it. The interval is that of the run's own
    gain over its base, over the choice of items; null where those are not known.
    """
    metric = ["base", "benchmark", "scorer", "metric"]
    sure = pl.col("verdict") == HIGHER
    sides = [
        grid.select(*metric, "main", "unit", run=own, won=sure & (own == "run"), lost=sure & (own == "other"))
        for own in ("run", "other")
    ]
    counts = (
        pl.concat(sides)
        .group_by(*metric, "main", "unit", "run", maintain_order=True)
        .agg(beats=pl.col("won").sum(), loses_to=pl.col("lost").sum(), pairs=pl.len())
        .with_columns(unclear=pl.col("pairs") - pl.col("beats") - pl.col("loses_to"))
    )
    gains = [
        gain_set.rows.select("base", "run", "gain", *_ends_of_gains(gain_set)).with_columns(
            pl.lit(name).alias(column) for column, name in zip(metric[1:], gain_set.key, strict=True)
        )
        for gain_set in sets
    ]
    if not gains:
        return empty(STANDINGS)
    joined = counts.join(pl.concat(gains), on=[*metric, "run"], maintain_order="left")
    ordered = joined.with_columns(place=pl.struct(metric).rank("dense")).sort(
        pl.col("main").not_(), "place", "gain", descending=[False, False, True]
    )
    return ordered.select(pl.col(name).cast(kind) for name, kind in STANDINGS.items())


def _ends_of_gains(gain_set: GainSet) -> list[pl.Expr]:
    """The ends of the interval of each run's gain, as the table of scores has them; null where it has none."""
    known = gain_set.rows.columns
    return [
        (pl.col(f"gain_{end}") if f"gain_{end}" in known else pl.lit(None)).cast(REAL).alias(end)
        for end in ("ci_low", "ci_high")
    ]

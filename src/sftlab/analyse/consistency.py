"""Which data help everywhere and which only some families: every dataset on every benchmark over all families."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from sftlab.analyse.frames import framed
from sftlab.analyse.gain_sets import GainSet
from sftlab.analyse.intervals import TAIL, Estimate, Reals
from sftlab.analyse.multiplicity import benjamini_hochberg
from sftlab.analyse.ranking import ends
from sftlab.analyse.verdicts import LEVEL, Row

EVERYWHERE, ON_AVERAGE, SOME, MIXED, CANNOT_TELL = "everywhere", "on average", "some", "mixed", "cannot tell"
HURTS_EVERYWHERE, HURTS_ON_AVERAGE, HURTS_SOME = "hurts everywhere", "hurts on average", "hurts some"
FEWEST_FAMILIES = 3


def consistency_frame(sets: Sequence[GainSet]) -> pl.DataFrame:
    """Frame `consistency`: how a dataset's gain on a benchmark holds over families (bases, where all are one family).

    `gain` with its interval is the mean over families like these; `new_low` and `new_high` the 95 % prediction interval
    of the gain of one more such family, from three families on; `sd` the spread between families beyond items and seeds
    (None where those are unknown) with `p_spread` of Cochran's Q; `helped` and `hurt` count the families whose own gain
    is surely above or below 0 (Benjamini & Hochberg over all). `holds`: `everywhere` (a new family would gain: the
    prediction interval lies above 0), `on average` (the mean does), `mixed` (some families surely gain, others surely
    lose), `some` (some surely gain, and the mean may be 0); `hurts everywhere`, `hurts on average` and `hurts some`
    likewise below 0; else `cannot tell`. The mean's p-values are adjusted over all cells of main metrics, and of the
    others.
    """
    rows: list[Row] = []
    for gain_set in sets:
        names = gain_set.rows["dataset"]
        for dataset in names.unique(maintain_order=True):
            mask_R = names.eq(dataset).to_numpy() & gain_set.common_recipes
            if mask_R.any():
                rows.append({**gain_set.metric_columns, "dataset": dataset, **_over_families(gain_set, mask_R)})
    for main in (True, False):
        _judge([row for row in rows if row["main"] == main])
    return framed("consistency", [{name: row[name] for name in row if name != "own"} for row in rows])


def _over_families(gain_set: GainSet, mask_R: NDArray[np.bool_]) -> Row:
    weight_R = gain_set.weights(mask_R)
    mean = gain_set.of_bases_like_these(weight_R)
    units = np.unique(gain_set.units[mask_R])
    own = [gain_set.of_these_bases(gain_set.weights(mask_R & (gain_set.units == unit))) for unit in units]
    gain_U = np.array([one.value for one in own])
    low, high = _prediction(gain_U)
    return {
        "gain": mean.value,
        **ends(mean),
        "n": len(units),
        "p": mean.p,
        "new_low": low,
        "new_high": high,
        **_spread(own, gain_U),
        "own": own,
    }


def _prediction(gain_U: Reals) -> tuple[float | None, float | None]:
    """Where the gain of one more unit lies with 95 % confidence, were gains of units normal."""
    count = len(gain_U)
    if count < FEWEST_FAMILIES:
        return None, None
    half = float(stats.t.isf(TAIL, count - 1)) * float(gain_U.std(ddof=1)) * (1 + 1 / count) ** 0.5
    return float(gain_U.mean()) - half, float(gain_U.mean()) + half


def _spread(own: Sequence[Estimate], gain_U: Reals) -> Row:
    """Standard deviation between units beyond their own noise, and the p-value of there being none."""
    errors = [one.se for one in own if one.se]
    if len(errors) < len(own) or len(own) < 2:
        return {"sd": None, "p_spread": None}
    variance_U = np.square(np.array(errors, dtype=np.float64))
    sd = max(0.0, float(gain_U.var(ddof=1)) - float(variance_U.mean())) ** 0.5
    weight_U = 1 / variance_U
    centre = float(weight_U @ gain_U) / float(weight_U.sum())
    q = float(weight_U @ (gain_U - centre) ** 2)
    return {"sd": sd, "p_spread": float(stats.chi2.sf(q, len(own) - 1))}


def _judge(rows: list[Row]) -> None:
    """Fill `helped`, `hurt`, `p_adjusted` and `holds` of rows that are asked together."""
    own = [(row, one) for row in rows for one in row["own"] if one.p is not None]
    for row in rows:
        row.update(helped=0, hurt=0, p_adjusted=None)
    for (row, one), p in zip(own, benjamini_hochberg([one.p for _, one in own]), strict=True):
        if p <= LEVEL and one.value != 0:
            row["helped" if one.value > 0 else "hurt"] += 1
    tested = [row for row in rows if row["p"] is not None]
    for row, p in zip(tested, benjamini_hochberg([row["p"] for row in tested]), strict=True):
        row["p_adjusted"] = p
    for row in rows:
        row["holds"] = _holds(row)


def _holds(row: Row) -> str:
    if row["helped"] and row["hurt"]:
        return MIXED
    if row["p_adjusted"] is not None and row["p_adjusted"] <= LEVEL and row["gain"] != 0:
        known = row["new_low"] is not None
        if row["gain"] > 0:
            return EVERYWHERE if known and row["new_low"] > 0 else ON_AVERAGE
        return HURTS_EVERYWHERE if known and row["new_high"] < 0 else HURTS_ON_AVERAGE
    if row["helped"]:
        return SOME
    return HURTS_SOME if row["hurt"] else CANNOT_TELL

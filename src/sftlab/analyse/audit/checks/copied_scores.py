"""Scores of one model that stand in another model's row as well.

Axes: M models, K columns (benchmark, scorer and metric).
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftlab.analyse.audit.finding import KEYS, AuditFinding, Tables
from sftlab.analyse.gain_sets import codes
from sftlab.analyse.intervals import Labels, Reals
from sftlab.analyse.wording import counted, listed, plain

LEVEL = 0.001
"""Chance of calling any pair of independent models copies of one another, over all pairs that are compared."""
EXPONENTS = np.linspace(0.05, 1.0, 20)
COLUMN = ("benchmark", "scorer", "metric")
NEIGHBOURS = 4
DECIMALS = 9
"""Digits behind the point that are compared: what differs beyond them is rounding, as of means."""
SHOWN = 6


@dataclass(frozen=True)
class _Pair:
    a: int
    b: int
    equal: NDArray[np.bool_]
    log_p: float


def copied_scores(tables: Tables) -> Iterator[AuditFinding]:
    """Pairs of models of different bases, or of one base after different data, that are equal where chance forbids it.

    How likely a value is by chance is told by the models of all other bases: likely where many score 0 or values are
    rounded coarsely, hardly ever where they have many digits. Columns of one benchmark (the
    categories of MT-Bench and its total, the shots of one task) go together, so that each benchmark counts once, with
    its most surprising column. The chance of as much coincidence as a pair shows is bounded after Chernoff and
    corrected for all pairs (Bonferroni). Nobody can know which of two copies is the original: both are suspect.
    """
    scores = tables["scores"].filter(pl.col("value").is_not_null() & pl.col("metric").is_not_null())
    wide = scores.with_columns(pl.concat_str(COLUMN, separator="\t").alias("column")).pivot(
        "column",
        index=["checkpoint", "base", "dataset", "run"],
        values="value",
        aggregate_function="first",
        maintain_order=True,
    )
    columns = wide.columns[4:]
    if wide.height < 2 or not columns:
        return
    columns.sort(key=_family_of_columns)
    value_MK = np.round(wide.select(columns).to_numpy().astype(np.float64), DECIMALS)
    for pair in _copies(wide, value_MK, [_family_of_columns(name) for name in columns]):
        equal = [name for name, same in zip(columns, pair.equal, strict=True) if same]
        yield _finding(wide, scores, pair, equal)


def _family_of_columns(column: str) -> str:
    """The benchmark's name up to its first separator: what its variants have in common."""
    return re.split(r"[-_]", column.split("\t", maxsplit=1)[0].lower())[0]


def _copies(wide: pl.DataFrame, value_MK: Reals, group_K: Sequence[str]) -> Iterator[_Pair]:
    models = len(value_MK)
    base_M, data_M = codes(wide, "base"), codes(wide, "dataset")
    surprise_MK = -np.log(_chance_of_values(value_MK, base_M))
    starts = [place for place, group in enumerate(group_K) if place == 0 or group != group_K[place - 1]]
    bound = math.log(LEVEL) - math.log(models * (models - 1) / 2)
    for a in range(models - 1):
        rest = slice(a + 1, None)
        equal_MK = value_MK[rest] == value_MK[a]
        total_M = np.maximum.reduceat(equal_MK * surprise_MK[a], starts, axis=1).sum(axis=1)
        other_base_M = base_M[rest] != base_M[a]
        both_MK = ~np.isnan(value_MK[rest]) & ~np.isnan(value_MK[a])
        wholly_M = (equal_MK | ~both_MK).all(axis=1) & (data_M[rest] != data_M[a])
        for place in np.flatnonzero((total_M > -bound) & (other_base_M | wholly_M)):
            most_G = np.maximum.reduceat(surprise_MK[a], starts)
            log_p = _log_tail(float(total_M[place]), np.exp(-most_G))
            if log_p <= bound:
                yield _Pair(a, a + 1 + int(place), equal_MK[place], log_p)


def _chance_of_values(value_MK: Reals, base_M: Labels) -> Reals:
    """The chance that a model of another base has the same value, from the values that those models have.

    How densely values lie around it (among the eight nearest others) times the step between values, the smallest that
    the column shows or, where that is larger, the last digit that the value has: means of several runs stand beside
    single runs, and those that have few digits are shared by many. And how many others share it, but for one, which may
    be the copy.
    """
    chance_MK = np.ones(value_MK.shape)
    for column, value_M in enumerate(value_MK.T):
        known = np.flatnonzero(~np.isnan(value_M))
        steps = np.diff(np.unique(value_M[known]))
        if len(steps) == 0:
            continue
        for base in np.unique(base_M[known]):
            own = known[base_M[known] == base]
            others = np.sort(value_M[known[base_M[known] != base]])
            if len(others) > 1:
                step_N = np.maximum(float(steps.min()), _last_digits(value_M[own]))
                chance_MK[own, column] = _chance_among(value_M[own], others, step_N)
    return chance_MK


def _last_digits(value_N: Reals) -> Reals:
    """What the last digit behind the point of each value counts: 0.01 of 1.25."""
    unit_N = np.full(len(value_N), 10.0**-DECIMALS)
    for digits in range(DECIMALS, -1, -1):
        unit_N[np.isclose(np.round(value_N, digits), value_N, rtol=0, atol=10.0**-DECIMALS / 2)] = 10.0**-digits
    return unit_N


def _chance_among(value_N: Reals, others_O: Reals, step_N: Reals) -> Reals:
    """`others_O` in ascending order."""
    count = len(others_O)
    left_N, right_N = np.searchsorted(others_O, value_N, "left"), np.searchsorted(others_O, value_N, "right")
    low_N, high_N = np.maximum(left_N - NEIGHBOURS, 0), np.minimum(right_N + NEIGHBOURS, count)
    near_N = (left_N - low_N) + (high_N - right_N)
    lowest_N = np.minimum(value_N, others_O[np.minimum(low_N, count - 1)])
    highest_N = np.maximum(value_N, others_O[np.maximum(high_N - 1, 0)])
    density_N = (near_N + 1) / (count + 1) * step_N / np.maximum(highest_N - lowest_N, step_N)
    sharing_N = np.maximum(right_N - left_N - 1, 0)
    chance_N: Reals = density_N + (sharing_N + (sharing_N > 0)) / count
    return np.clip(chance_N, 1e-12, 1.0)


def _log_tail(total: float, chance_K: Reals) -> float:
    """Log of a bound on the chance that equal columns are together as surprising as `total` (Chernoff)."""
    exponent_S = EXPONENTS[:, None]
    log_moment_S = np.log1p(-chance_K + chance_K ** (1 - exponent_S)).sum(axis=1)
    return float(np.min(log_moment_S - EXPONENTS * total))


def _finding(wide: pl.DataFrame, scores: pl.DataFrame, pair: _Pair, equal: list[str]) -> AuditFinding:
    names = [_model(wide.row(place, named=True)) for place in (pair.a, pair.b)]
    parts = [name.split("\t") for name in equal]
    benchmarks = list(dict.fromkeys(part[0] for part in parts))
    shown = listed(benchmarks) if len(benchmarks) <= SHOWN else f"{', '.join(benchmarks[:SHOWN])} and others"
    exponent = math.floor(pair.log_p / math.log(10))
    chance = f"p < 1e{exponent + 1}" if exponent < -4 else f"p = {plain(math.exp(pair.log_p))}"
    wanted = pl.DataFrame({name: [part[place] for part in parts] for place, name in enumerate(COLUMN)})
    checkpoints = [wide["checkpoint"][place] for place in (pair.a, pair.b)]
    rows = scores.filter(pl.col("checkpoint").is_in(checkpoints)).join(wanted, on=COLUMN, how="semi")
    return AuditFinding(
        check="copied_scores",
        severity="error",
        text=f"{names[0]} and {names[1]} have the same {counted(len(equal), 'score')} ({shown}; by chance {chance})",
        why="one model's results stand in the other's row, and nobody can know from the numbers whose they are; if one "
        "of them is a base, every gain over it is wrong",
        advice="evaluate both models again on these benchmarks, or leave both out",
        rows=rows.select("checkpoint", "base", "dataset", "benchmark", "scorer", "metric", "value"),
        excluded=rows.select(KEYS),
    )


def _model(row: dict[str, object]) -> str:
    return (
        f"the base {row['base']}"
        if row["run"] is None
        else f"{row['base']} after {row['dataset']} ({row['checkpoint']})"
    )

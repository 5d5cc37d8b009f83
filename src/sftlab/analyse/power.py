"""What a design can see: the smallest effect that an analysis finds in four of five studies, after its correction."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import optimize, special

from sftlab.analyse.effects import Finding
from sftlab.analyse.frames import framed
from sftlab.analyse.intervals import Reals, VariancePart, half_width
from sftlab.analyse.verdicts import LEVEL, Row
from sftlab.analyse.wording import SHARES, amount, counted, listed, plain, spoken

POWER = 0.8
POINTS = 16
"""Quantiles by which the estimate of a variance is represented."""
SURELY_KNOWN_DF = 2000
MANY = 8
"""Benchmarks above which their smallest effects are told as a range."""
BITS_OF_A_BYTE = 8
POWERS = "power"
"""Subject of sentences on what the design could have seen."""
PAIR = "difference between two datasets"
GAIN = "gain from a dataset"
PROPERTY = "correlation of a data property with gain"
LAYER = "correlation of weight change with gain"


def smallest_effect(
    parts: Sequence[VariancePart], *, level: float = LEVEL, variance: float | None = None
) -> float | None:
    """The true effect whose interval at `level` (two-sided) leaves out 0 in four of five studies of this design.

    `parts` are the expected sources of variance of the estimate, as the analysis takes them together (`combined`):
    that their estimates vary with their degrees of freedom is counted in, by integration over their chi-square
    distributions; for a single part this is the non-central t. `variance` is that of the estimate itself where the
    parts hold some source twice. The level of one of m questions asked together is 0.05 / m: what Bonferroni's, Holm's
    and Benjamini & Hochberg's procedures all give to an effect that is the only one. None without a part that varies.
    """
    true_variance = sum(part.variance for part in parts) if variance is None else variance
    if not parts or true_variance <= 0.0:
        return None
    error = math.sqrt(true_variance)
    half_width_G = _half_widths(parts, level)

    def missing(effect: float) -> float:
        found_G = special.ndtr((effect - half_width_G) / error) + special.ndtr((-effect - half_width_G) / error)
        return float(found_G.mean()) - POWER

    high = half_width(tuple(parts), level / 2) + error
    while missing(high) < 0:
        high *= 2
    return float(optimize.brentq(missing, 0.0, high, rtol=1e-4))


def _half_widths(parts: Sequence[VariancePart], level: float) -> NDArray[np.float64]:
    """Half-widths of the intervals of many studies, equally likely: every combination of quantiles of each variance."""
    square_G = np.zeros(1)
    for part in parts:
        width = part.variance * float(special.stdtrit(part.df, level / 2)) ** 2
        square_G = np.add.outer(square_G, width * _relative_variances(part.df)).ravel()
    return np.sqrt(square_G)


def _relative_variances(df: float) -> Reals:
    """Equally likely values of an estimated variance over the true one."""
    if df > SURELY_KNOWN_DF:
        return np.ones(1)
    share_G = (np.arange(POINTS) + 0.5) / POINTS
    return np.asarray(special.chdtri(df, 1 - share_G) / df, dtype=np.float64)


def add_smallest_effects(rows: Sequence[Row], *, questions: int | None = None) -> None:
    """Fill `smallest_effect` of rows that are asked together in place, from their `parts`, which are taken out.

    `questions` counts them where others are asked with them.
    """
    asked = questions or sum(row["p"] is not None for row in rows)
    for row in rows:
        row["smallest_effect"] = smallest_effect(row.pop("parts"), level=LEVEL / max(1, asked))


def smallest_correlation(units: int, *, level: float = LEVEL) -> float | None:
    """The true correlation that the test over so many units finds in four of five studies; None below four.

    The test is Student's t. Of normal variables it is exact: given the one, t is shifted by r sqrt(S / (1 - r^2)),
    where the sum of squares S, like the residual variance, follows its chi-square distribution.
    """
    if units < 4:
        return None
    spread_S = np.sqrt(_relative_variances(units - 1) * (units - 1))
    half_width_R = -float(special.stdtrit(units - 2, level / 2)) * np.sqrt(_relative_variances(units - 2))

    def missing(r: float) -> float:
        shift_SR = r / math.sqrt(1 - r**2) * spread_S[:, None]
        found_SR = special.ndtr(shift_SR - half_width_R) + special.ndtr(-shift_SR - half_width_R)
        return float(found_SR.mean()) - POWER

    return float(optimize.brentq(missing, 0.0, 1.0 - 1e-12))


def power_frame(
    comparisons: pl.DataFrame, training: pl.DataFrame, properties: pl.DataFrame, layers: pl.DataFrame
) -> pl.DataFrame:
    """Frame `power`: for every question and metric the smallest effect that this design would have found.

    `questions` are asked together, which the level allows for. Of several of one kind, such as the pairs of datasets,
    it is the median. `layers` is the frame `layer_correlations`.
    """
    rows = [*_of_pairs(comparisons), *_of_training(training)]
    within = properties.filter(scope="within", kind="pearson")
    rows += _of_correlations(within, PROPERTY)
    rows += _of_correlations(layers.filter(~pl.col("divided_by_total")), LAYER)
    return framed("power", rows)


METRIC = ("benchmark", "scorer", "metric", "main", "unit")


def _of_pairs(comparisons: pl.DataFrame) -> Iterator[Row]:
    known = comparisons.drop_nulls("p")
    benchmarks = known.group_by("population", "main").agg(pl.struct("benchmark", "scorer", "metric").n_unique())
    asked = {(row[0], row[1]): row[2] for row in benchmarks.iter_rows()}
    for part, rows in known.partition_by(*METRIC, "population", as_dict=True, maintain_order=True).items():
        if rows["smallest_effect"].null_count() == rows.height:
            continue
        yield {
            **dict(zip((*METRIC, "population"), part, strict=True)),
            "question": PAIR,
            "smallest_effect": rows["smallest_effect"].median(),
            "questions": rows.height * asked[part[5], bool(part[3])],
            "n": rows["n"].min(),
        }


def _of_training(training: pl.DataFrame) -> Iterator[Row]:
    tested = training.drop_nulls("p")
    asked = {main: tested.filter(main=main).height for main in (True, False)}
    for row in tested.drop_nulls("smallest_effect").iter_rows(named=True):
        yield {
            **{name: row[name] for name in METRIC},
            "question": f"{spoken(row['factor'])}: {row['level']} minus {row['other']}",
            "smallest_effect": row["smallest_effect"],
            "questions": asked[row["main"]],
            "n": row["n"],
        }


def _of_correlations(correlations: pl.DataFrame, question: str) -> Iterator[Row]:
    tested = correlations.drop_nulls("p")
    asked = {main: tested.filter(main=main).height for main in (True, False)}
    for part, rows in tested.partition_by(*METRIC, as_dict=True, maintain_order=True).items():
        questions, fewest = asked[bool(part[3])], int(rows["n"].min())  # type: ignore[arg-type]
        yield {
            **dict(zip(METRIC, part, strict=True)),
            "question": question,
            "unit": "correlation",
            "smallest_effect": smallest_correlation(fewest, level=LEVEL / questions),
            "questions": questions,
            "n": fewest,
        }


def power_findings(power: pl.DataFrame) -> Iterator[Finding]:
    """What differences between datasets, and what correlations, this design would have missed; main metrics."""
    main = power.filter(pl.col("main"), pl.col("smallest_effect").is_not_null())
    pairs = main.filter(question=PAIR)
    for (population,), rows in pairs.partition_by("population", as_dict=True, maintain_order=True).items():
        questions = int(rows["questions"].max())  # type: ignore[arg-type]
        text = (
            f"For {population}, the smallest lone difference between two datasets that a design like this finds in 4 "
            f"of 5 studies, corrected for {counted(questions, 'question')}, is {smallest_effects(rows.to_dicts())}."
        )
        yield Finding("data", text, subject=POWERS)
    for (question,), rows in (
        main.filter(unit="correlation").partition_by("question", as_dict=True, maintain_order=True).items()
    ):
        row = max(rows.to_dicts(), key=lambda row: float(row["smallest_effect"]))
        text = (
            f"With {counted(row['n'], 'dataset')} and {counted(row['questions'], 'question')}, a lone {question} is "
            f"found in 4 of 5 studies from |r| = {plain(row['smallest_effect'])} on."
        )
        yield Finding("properties" if question == PROPERTY else "layers", text)


def smallest_effects(rows: Sequence[Row]) -> str:
    """The smallest effects of benchmarks in words; of many the range for each unit.

    Behind them, where some are beyond what scores differ by, that nothing would be found there.
    """
    beyond = {
        seen(row["smallest_effect"], row["unit"]) for row in rows if _is_beyond(row["smallest_effect"], row["unit"])
    }
    where = f" (where it is {' or '.join(sorted(beyond))}, nothing would be found)" if beyond else ""
    return _effects_on(rows) + where


def _effects_on(rows: Sequence[Row]) -> str:
    if len(rows) <= MANY:
        on: dict[str, list[str]] = {}
        for row in rows:
            on.setdefault(seen(row["smallest_effect"], row["unit"]), []).append(row["benchmark"])
        return listed([f"{effect} on {listed(benchmarks)}" for effect, benchmarks in on.items()])
    told = []
    for unit in dict.fromkeys(row["unit"] for row in rows):
        of_unit = [row for row in rows if row["unit"] == unit]
        low, high = (choose(of_unit, key=lambda row: float(row["smallest_effect"])) for choose in (min, max))
        told.append(f"{seen(low['smallest_effect'], unit)} ({low['benchmark']})")
        if len(of_unit) > 1:
            told[-1] += f" to {seen(high['smallest_effect'], unit)} ({high['benchmark']})"
    return listed(told)


def _is_beyond(effect: float, unit: str) -> bool:
    """Whether no score differs by so much: all of a share, or all the bits of bytes of which nothing is known."""
    return effect > (1 if unit in SHARES else BITS_OF_A_BYTE if unit == "bits per byte" else math.inf)


def seen(effect: float, unit: str) -> str:
    """A smallest effect with its unit, or the most that scores differ by where it is more."""
    if _is_beyond(effect, unit):
        return f"more than {'100 points' if unit in SHARES else f'{BITS_OF_A_BYTE} bits per byte'}"
    return amount(effect, unit).lstrip("+")

"""Predictions and their skill in plain sentences."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from sftlab.analyse.wording import amount, counted, interval, listed_briefly
from sftlab.predict.asking import Asked
from sftlab.predict.choosing import CHOSEN, Judged
from sftlab.predict.gain_table import Cell, GainTable
from sftlab.predict.left_out import Question
from sftlab.predict.predictors import PREDICTORS

Row = dict[str, Any]
OURS = "mixed_model"
WHERE: Mapping[Question, str] = {
    "new_base": "For a new {noun}",
    "gap": "For datasets that a base has not tried and others have",
    "new_dataset": "For datasets that no base has tried",
}
LEFT_OUT: Mapping[Question, str] = {
    "new_base": "each left out in turn",
    "gap": "two cells of a base left out at a time",
    "new_dataset": "two datasets left out at a time",
}
PLURALS: Mapping[str, str] = {"base": "bases", "base family": "base families"}
UNJUDGED: Mapping[Question, str] = {
    "new_base": "How well it would tell gains of a new {noun} is not known: that takes gains of two.",
    "gap": "How well it would fill gaps is not known: that takes a base with three datasets that others tried too.",
    "new_dataset": (
        "Data that no base has tried cannot be told apart: that takes four datasets with gains and measured properties "
        "(`measures` in the study)."
    ),
}
MOST_SUGGESTIONS = 12
FEW = 8
"""Units below which the interval says so."""


def skill_sentences(
    table: GainTable,
    found: Mapping[Question, Judged | None],
    skill: Sequence[Row],
    reference: Mapping[Question, str],
) -> Iterator[str]:
    """For each question: how often two datasets were ordered rightly, by whom, and whether the model beats the rest."""
    for question, one in found.items():
        rows = {(row["predictor"], row["statistic"]): row for row in skill if _is_overall(row, question)}
        if one is None or (CHOSEN, "decision_accuracy") not in rows:
            yield UNJUDGED[question].format(noun=table.family_noun)
        else:
            yield _accuracy(WHERE[question].format(noun=table.family_noun), LEFT_OUT[question], rows)
            yield from _trust(rows, reference[question], one.choice)


def benchmark_sentences(table: GainTable, skill: Sequence[Row], asked: Asked) -> Iterator[str]:
    """Skill on each benchmark that was asked for by name, with what a choice by it costs in its own unit."""
    for name in asked.benchmarks:
        for question, where in WHERE.items():
            rows = {
                row["statistic"]: row
                for row in skill
                if (row["question"], row["predictor"], row.get("benchmark")) == (question, CHOSEN, name)
            }
            if "decision_accuracy" in rows and "regret" in rows:
                regret = rows["regret"]
                lost = f"{amount(regret['value'], regret['unit'])} {interval(regret, regret['unit'])}".replace("+", "")
                shown = where.format(noun=table.family_noun)
                shown = f"{shown[0].lower()}{shown[1:]}"
                yield (
                    f"On {name}, {shown} it is {_share(rows['decision_accuracy'])} of pairs; the dataset put first was "
                    f"{lost} behind the best{'' if question == 'new_base' else ' of the two'}."
                )


def _is_overall(row: Row, question: Question) -> bool:
    return bool(row["question"] == question and row.get("benchmark") is None)


def _accuracy(where: str, how: str, rows: Mapping[tuple[str, str], Row]) -> str:
    """How often the chosen predictor, and each alone, ordered two datasets rightly."""
    chosen = rows[CHOSEN, "decision_accuracy"]
    told = [name for name in PREDICTORS if (row := rows.get((name, "decision_accuracy"))) and row["value"] != 0.5]
    parts = "".join(f"{PREDICTORS[name].words} {_share(rows[name, 'decision_accuracy'])}, " for name in told)
    few = ", few" if chosen["n"] < FEW else ""
    return (
        f"{where} two datasets are ordered rightly in {_share(chosen)} of pairs by the predictor chosen without them "
        f"({how}; 95 % interval over {chosen['n']} {chosen['of']}{few}); {parts}a coin 0.50."
    )


def _trust(rows: Mapping[tuple[str, str], Row], reference: str, choice: str) -> Iterator[str]:
    """The same beyond noise, whether the model is worth it, and how often intervals held."""
    apart = rows.get((CHOSEN, "decision_accuracy_told_apart"))
    if apart is not None:
        yield f"Of pairs that differ by more than noise (items and seeds) it is {_share(apart)}."
    yield _beats(rows, reference, choice)
    coverage = rows.get((CHOSEN, "coverage"))
    if coverage is not None:
        held = f"{100 * coverage['value']:.0f} % {_ends(coverage, scale=100, digits=0)}"
        yield f"95 % intervals held {held} of the gains that were left out."


def _beats(rows: Mapping[tuple[str, str], Row], reference: str, choice: str) -> str:
    """Whether the model beats the reference, and whose predictions are shown."""
    what = PREDICTORS[reference].words
    shown = f"Predictions are those of {PREDICTORS[choice].words}"
    beyond = rows.get((OURS, "beyond_reference"))
    if beyond is None:
        return f"The mixed model was not fitted: it takes five gains, and tables that are not too large. {shown}."
    by = f"{beyond['value']:+.3f} {_ends(beyond, digits=3, sign='+')} of pairs"
    if beyond["value"] <= 0:
        return f"The mixed model does not beat {what}: {by}. {shown}."
    surely = beyond["ci_low"] is not None and beyond["ci_low"] > 0
    return f"The mixed model {'beats' if surely else 'does not surely beat'} {what}: {by}. {shown}."


def answer_sentences(predictions: pl.DataFrame, asked: Asked, withheld: Collection[Cell]) -> Iterator[str]:
    """What to try next, base by base, and what cannot be told."""
    untried = predictions.filter(~pl.col("tried"))
    if untried.is_empty():
        what = "these bases were" if asked.bases else "every base was"
        yield f"Nothing is left to predict: {what} trained on every dataset."
        return
    width = pl.col("ci_high") - pl.col("ci_low")
    suggested = untried.filter("try_next").sort(pl.col("expected_improvement") / width, descending=True)
    for row in suggested.head(MOST_SUGGESTIONS).iter_rows(named=True):
        yield _suggestion(row, predictions)
    if suggested.height > MOST_SUGGESTIONS:
        yield f"... and {suggested.height - MOST_SUGGESTIONS} more: column `try_next` with --json."
    told = untried.filter(pl.col("gain").is_not_null()).select("base", "dataset", "benchmark")
    if suggested.is_empty() and not set(told.iter_rows()).issubset(withheld):
        yield "What to try next cannot be told: no interval is narrow enough to say anything."
    reasons = untried.filter(pl.col("reason").is_not_null())
    for (reason,), of_reason in reasons.partition_by("reason", as_dict=True, maintain_order=True).items():
        cells = of_reason.select("base", "dataset").unique(maintain_order=True)
        bases = listed_briefly(cells["base"].unique(maintain_order=True).to_list())
        yield f"Not told for {bases} ({counted(cells.height, 'cell')}): {reason}."


def _suggestion(row: Row, predictions: pl.DataFrame) -> str:
    seen = predictions.filter(
        pl.col("tried") & (pl.col("base") == row["base"]) & (pl.col("benchmark") == row["benchmark"])
    ).sort("gain", descending=True)
    if seen.is_empty():
        so_far = "no gain is known there so far"
    else:
        best = seen.row(0, named=True)
        so_far = f"the best so far, {best['dataset']}, brought {amount(best['gain'], row['unit'])}"
    expected, more = (amount(row[column], row["unit"]) for column in ("gain", "expected_improvement"))
    return (
        f"Try next for {row['base']} on {row['benchmark']}: {row['dataset']}, expected {expected} "
        f"{interval(row, row['unit'])}; {so_far} (expected improvement {more})."
    )


def _share(row: Row) -> str:
    return f"{row['value']:.2f} {_ends(row)}"


def _ends(row: Row, *, scale: float = 1.0, digits: int = 2, sign: str = "") -> str:
    if row["ci_low"] is None:
        return "[no interval]"
    return f"[{row['ci_low'] * scale:{sign}.{digits}f}, {row['ci_high'] * scale:{sign}.{digits}f}]"

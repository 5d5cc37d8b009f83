"""Expected gains of what was not tried, what to try next, and how well such predictions have done.

Axes: B bases, D datasets, K benchmarks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from sftlab.analyse.gain_sets import gain_sets
from sftlab.analyse.intervals import Estimate
from sftlab.analyse.results import Results
from sftlab.analyse.schemas import from_rows
from sftlab.analyse.wording import listed_briefly
from sftlab.errors import StudyError
from sftlab.predict.asking import EVERYTHING, Asked, asked_cells, is_asked, question_of, why_not
from sftlab.predict.choosing import BY_DEFAULT, Judged, judged
from sftlab.predict.frames import SCHEMAS
from sftlab.predict.gain_table import GainTable, gain_table
from sftlab.predict.left_out import QUESTIONS, Question
from sftlab.predict.predictor import NORMAL_HALF_WIDTH, Predicted
from sftlab.predict.predictors import PREDICTORS
from sftlab.predict.properties import covariates
from sftlab.predict.sentences import PLURALS, answer_sentences, benchmark_sentences, skill_sentences
from sftlab.predict.skill import BOUNDS, OVER_BENCHMARKS, Statistic, difference, estimate

Row = dict[str, Any]
REFERENCE: Mapping[Question, str] = {"new_base": BY_DEFAULT, "gap": BY_DEFAULT, "new_dataset": "coin"}
"""What the mixed model has to beat: of data that no base has tried the other bases know nothing."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What to expect, and how far to trust it.

    - predictions: for each base and benchmark that was asked for, datasets by `gain`, best first: what was seen of
      those `tried`, and what is expected of the others, with the 95 % interval of the gain that would be measured.
      `question` says what kind of prediction it is (`new_base`, `gap`, `new_dataset`) and `predictor` whose.
      `expected_improvement`: how much more than the best tried so far (than the base itself, where none was) it would
      bring on average, counting a loss as 0; `try_next` marks the largest where its interval says something. Where the
      table cannot answer, `gain` is null and `reason` says why.
    - prediction_skill: how every predictor did on gains that it did not see, by `question`: `statistic` on one
      benchmark, or with a null `benchmark` the mean over all; `n` counts the units (`of`) of its interval. `chosen` is
      the predictor that would have been chosen without what it was judged on. `beyond_reference` is how much more
      decision accuracy a predictor has than the mean of the other bases (than a coin, of a `new_dataset`).
    """

    study: str
    sentences: tuple[str, ...]
    predictions: pl.DataFrame
    prediction_skill: pl.DataFrame

    def to_json(self) -> dict[str, object]:
        """Plain values: the sentences, and both frames as lists of rows."""
        return {
            "study": self.study,
            "sentences": list(self.sentences),
            "predictions": self.predictions.to_dicts(),
            "prediction_skill": self.prediction_skill.to_dicts(),
        }


def predict_study(results: Results, asked: Asked = EVERYTHING, *, method: str | None = None) -> Predictions:
    """Predictions for a study (`sftlab.open(...)`) from its gains, without the scores that its audit excludes.

    `method` takes the gains of one training method alone. Raises StudyError for names that are not there.
    """
    scores, unaudited = results.audited_scores, results.scores()
    if method is None:
        sets = results.gain_sets
    else:
        methods = scores["method"].drop_nulls().unique(maintain_order=True).to_list()
        if method not in methods:
            raise StudyError(
                f"no run of this study has the method {method!r}: its methods are {listed_briefly(methods)}"
            )
        of_method = (pl.col("method") == method) | (pl.col("dataset") == "none")
        scores, unaudited = scores.filter(of_method), unaudited.filter(of_method)
        sets = gain_sets(scores, results.influences)
    table = gain_table(sets, scores, results.data(), sources=results.sources, unaudited=unaudited)
    return predict(table, asked, study=results.study)


def predict(table: GainTable, asked: Asked = EVERYTHING, *, study: str = "gains") -> Predictions:
    """Predictions from a table of gains; each kind of question goes by the predictor that does best at it there."""
    if not table.known.any():
        frames = (from_rows([], SCHEMAS[name]) for name in ("predictions", "prediction_skill"))
        return Predictions(study, ("Nothing can be predicted yet: no gain is known so far.", *table.notes), *frames)
    cells = asked_cells(table, asked)
    found = {question: _judged(table, question) for question in QUESTIONS}
    choices = {question: BY_DEFAULT if one is None else one.choice for question, one in found.items()}
    told = {name: PREDICTORS[name].fit(table) for name in set(choices.values()) if PREDICTORS[name].available(table)}
    rows: list[Row] = []
    for base in range(len(table.bases)):
        for k in range(len(table.scales)):
            if cells[base, :, k].any() or is_asked(table, asked, base, k):
                rows.extend(_Block(table, base, k, choices, told).rows(cells[base, :, k]))
    skill = [row for question, one in found.items() if one is not None for row in _skill_rows(table, question, one)]
    predictions = from_rows(rows, SCHEMAS["predictions"])
    sentences = (
        *skill_sentences(table, found, skill, REFERENCE),
        *benchmark_sentences(table, skill, asked),
        *answer_sentences(predictions, asked, table.withheld),
        *table.notes,
    )
    return Predictions(study, sentences, predictions, from_rows(skill, SCHEMAS["prediction_skill"]))


def _judged(table: GainTable, question: Question) -> Judged | None:
    """Without measured properties nothing tells new datasets apart, and there is nothing to judge."""
    if question == "new_dataset" and not covariates(table):
        return None
    return judged(table, question)


class _Block:
    """The datasets of one base on one benchmark."""

    def __init__(
        self,
        table: GainTable,
        base: int,
        benchmark: int,
        choices: Mapping[Question, str],
        told: Mapping[str, Predicted],
    ) -> None:
        self._table, self._base, self._k = table, base, benchmark
        self._choices, self._told = choices, told
        self._scale = table.scales[benchmark]
        self._seen = table.gain[base, :, benchmark]
        known = table.gain[:, :, benchmark]
        self._range = (np.nanmin(known, initial=np.inf), np.nanmax(known, initial=-np.inf))
        self._best = float(np.nanmax(self._seen)) if np.isfinite(self._seen).any() else 0.0

    def rows(self, asked_D: "np.ndarray[Any, np.dtype[np.bool_]]") -> list[Row]:
        """Those asked for and those tried, the best first; those that cannot be told last."""
        found = [self._untried(place) if asked_D[place] else self._tried(place) for place in self._places(asked_D)]
        found.sort(key=lambda row: -np.inf if row["gain"] is None else row["gain"], reverse=True)
        self._suggest(found)
        for rank, row in enumerate((row for row in found if row["gain"] is not None), start=1):
            row["rank"] = rank
        return found

    def _places(self, asked_D: "np.ndarray[Any, np.dtype[np.bool_]]") -> Iterator[int]:
        return (int(place) for place in np.flatnonzero(asked_D | np.isfinite(self._seen)))

    def _common(self, place: int) -> Row:
        names = {"benchmark": self._scale.benchmark, "scorer": self._scale.scorer, "metric": self._scale.metric}
        table = self._table
        names |= {"base": table.bases[self._base], "family": table.families[self._base]}
        return {**names, "dataset": table.datasets[place], "unit": self._scale.unit, "try_next": False}

    def _tried(self, place: int) -> Row:
        gain, variance = float(self._seen[place]), float(self._table.noise[self._base, place, self._k])
        return {**self._common(place), "tried": True, **self._interval(gain, NORMAL_HALF_WIDTH * np.sqrt(variance))}

    def _untried(self, place: int) -> Row:
        question = question_of(self._table, self._base, place, self._k)
        row = {**self._common(place), "tried": False, "question": question, "gain": None}
        reason = why_not(self._table, self._base, place, self._k)
        if reason is not None:
            return {**row, "reason": reason}
        name = self._choices[question]
        told = self._told[name]
        gain = float(told.gain[self._base, place, self._k])
        half = float(told.half_width[self._base, place, self._k])
        if not np.isfinite(gain) or not np.isfinite(half):
            return {**row, "reason": f"too few gains are known on {self._scale.benchmark} to say how sure"}
        interval = self._interval(gain, half)
        improvement = _expected_improvement(gain - self._best, half / NORMAL_HALF_WIDTH)
        return {**row, "predictor": name, **interval, "expected_improvement": improvement}

    def _interval(self, gain: float, half: float) -> Row:
        if not np.isfinite(half):
            return {"gain": gain}
        low, high = self._scale.bounds or (-np.inf, np.inf)
        return {"gain": gain, "ci_low": max(low, gain - half), "ci_high": min(high, gain + half)}

    def _suggest(self, rows: list[Row]) -> None:
        """Mark what to try next: an interval says something where it does not hold all gains seen on the benchmark.

        What was tried, but is left out by the audit, is scored again for less than it takes to train.
        """
        telling = [
            row
            for row in rows
            if row.get("expected_improvement") is not None
            and (row["ci_low"] > self._range[0] or row["ci_high"] < self._range[1])
            and row["ci_high"] > self._best
            and (row["base"], row["dataset"], row["benchmark"]) not in self._table.withheld
        ]
        if telling:
            max(telling, key=lambda row: float(row["expected_improvement"]))["try_next"] = True


def _expected_improvement(ahead: float, sd: float) -> float:
    """Mean of what a normal gain has beyond the best so far, nothing where it stays behind (Mockus 1975)."""
    if sd == 0:
        return max(0.0, ahead)
    return float(ahead * stats.norm.cdf(ahead / sd) + sd * stats.norm.pdf(ahead / sd))


def _skill_rows(table: GainTable, question: Question, found: Judged) -> Iterator[Row]:
    of = "datasets" if question == "new_dataset" else PLURALS[table.family_noun]
    reference = found.held[REFERENCE[question]]
    for name, held in found.held.items():
        common = {"question": question, "predictor": name, "of": of}
        for statistic in BOUNDS:
            places: list[int | None] = [None] if statistic in OVER_BENCHMARKS else []
            for place in (*places, *range(len(table.scales))):
                value = estimate(held, statistic, place)
                if value is not None:
                    benchmark = None if place is None else table.scales[place].benchmark
                    unit = _unit(table, statistic, place)
                    yield {**common, "benchmark": benchmark, "statistic": statistic, "unit": unit, **_columns(value)}
        beyond = difference(held, reference)
        if beyond is not None:
            yield {**common, "statistic": "beyond_reference", "unit": "share of pairs", **_columns(beyond)}


def _unit(table: GainTable, statistic: Statistic, place: int | None) -> str:
    if statistic in ("regret", "width"):
        assert place is not None
        return table.scales[place].unit
    shares = {"kendall_tau": "correlation", "coverage": "share of cells"}
    return shares.get(statistic, "share of pairs")


def _columns(found: Estimate) -> Row:
    return {"value": found.value, "se": found.se, "ci_low": found.ci_low, "ci_high": found.ci_high, "n": found.n}

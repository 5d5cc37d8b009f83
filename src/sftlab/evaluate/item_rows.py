"""What a question's log-likelihoods or its generated answer score: rows of the table `items`."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftlab.benchmarks.item import Benchmark, ChoiceMetrics, FilteredAnswer, Item, Reading, Scorer
from sftlab.evaluate.questions import Question

SCHEMA = {
    "item": pl.String(),
    "stratum": pl.String(),
    "scorer": pl.String(),
    "metric": pl.String(),
    "score": pl.Float64(),
    "log_likelihood": pl.Float64(),
    "num_bytes": pl.Int64(),
    "answer": pl.String(),
    "parsed": pl.Boolean(),
    "status": pl.String(),
    "reason": pl.String(),
    "verdict": pl.String(),
    "cluster": pl.String(),
    "written": pl.String(),
}
Row = dict[str, Any]


def likelihood_metrics(item: Item, own: ChoiceMetrics | None = None) -> tuple[str, ...]:
    """What log-likelihoods say of an item; `own` are a task's own metrics in place of accuracy."""
    if own is not None:
        return ("bits_per_byte", *own.names)
    return ("accuracy", "accuracy_per_byte", "bits_per_byte") if item.choices else ("bits_per_byte",)


def unfit_rows(item: Item, scorer: Scorer, metrics: Iterable[str], reason: str) -> list[Row]:
    """Rows without scores for an item that this scorer cannot ask, and why."""
    return [item_row(item, scorer, metric, status="unfit", reason=reason) for metric in metrics]


def likelihood_rows(
    question: Question, log_likelihood_C: NDArray[np.float64], own: ChoiceMetrics | None = None
) -> list[Row]:
    """Scores from the log-likelihoods of the C choices, or of the gold answer alone.

    `accuracy` and `accuracy_per_byte` are 1 where the gold choice has the greatest log-likelihood, as it is or per
    UTF-8 byte of the choice without its delimiter: lm-evaluation-harness's `acc` and `acc_bytes` (its `acc_norm`
    divides by characters, which is the same where choices are ASCII). The first of equal ones is chosen, as there.
    `bits_per_byte` is the gold answer's code length over its bytes without the delimiter. All rows carry the gold
    answer's log-likelihood in nats and its bytes; `answer` is the choice made. A task's `own` metrics stand in place of
    accuracy.
    """
    item = question.item
    gold = item.gold_choice if item.choices else 0
    assert gold is not None, "an item with choices says which one is right"
    num_bytes_C = np.array(question.num_bytes)
    common: Row = {"log_likelihood": float(log_likelihood_C[gold]), "num_bytes": question.num_bytes[gold]}
    bits = -common["log_likelihood"] / (common["num_bytes"] * math.log(2))
    rows = [item_row(item, "likelihood", "bits_per_byte", score=bits, **common)]
    if own is not None:
        weighed = own.weigh(item, log_likelihood_C.tolist())
        rows += [item_row(item, "likelihood", name, score=weighed[name], **common) for name in own.names]
    elif item.choices:
        by_metric = {"accuracy": log_likelihood_C, "accuracy_per_byte": log_likelihood_C / num_bytes_C}
        for metric, value_C in by_metric.items():
            chosen = int(np.argmax(value_C))
            answer = question.answers[chosen]
            rows.append(item_row(item, "likelihood", metric, score=float(chosen == gold), answer=answer, **common))
    return rows


def generative_rows(item: Item, reading: Reading, text: str) -> list[Row]:
    """The score of what was read out of a generated text; what other filters and metrics say, under their names."""
    read: dict[str, Reading | FilteredAnswer] = {
        reading.metric: reading,
        **{other.name: other for other in reading.others},
    }
    return [
        item_row(item, "generative", metric, score=one.score, answer=one.answer, parsed=one.parsed, written=text)
        for metric, one in read.items()
    ]


def question_frame(benchmark: Benchmark) -> pl.DataFrame:
    """What the items ask, every turn of it, and the first gold answer of each."""
    items, delimiter = benchmark.items, benchmark.delimiter
    return pl.DataFrame(
        {
            "item": [item.item for item in items],
            "stratum": [item.stratum for item in items],
            "prompt": ["\n\n".join((item.context, *item.follow_ups)) for item in items],
            "gold": [item.gold[0].removeprefix(delimiter) if item.gold else None for item in items],
        },
        schema=dict.fromkeys(("item", "stratum", "prompt", "gold"), pl.String()),
    )


def item_frame(rows: Sequence[Row]) -> pl.DataFrame:
    """Rows as a frame."""
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def item_row(item: Item, scorer: Scorer, metric: str, *, status: str = "done", **values: object) -> Row:
    """A row with these values and nothing else."""
    of_item = {"item": item.item, "stratum": item.stratum, "cluster": item.cluster}
    return {**dict.fromkeys(SCHEMA), **of_item, "scorer": scorer, "metric": metric, "status": status, **values}

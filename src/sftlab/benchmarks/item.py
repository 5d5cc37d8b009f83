"""Benchmarks and their items, as the scoring engine sees them: text in, text out, no model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Scorer = Literal["likelihood", "generative", "judge"]


@dataclass(frozen=True)
class Item:
    """One question.

    `context` is the full plain prompt, with the description and the shots but without any chat template; a continuation
    (`choices[k]`, or `gold` where there are no choices) already starts with the delimiter that follows the context.
    `follow_ups` are later turns of the user in a dialogue that `context` opens. Items of one `cluster` share a passage
    and are no independent draws; None stands alone.
    """

    item: str
    context: str
    gold: tuple[str, ...]
    choices: tuple[str, ...] = ()
    gold_choice: int | None = None
    stratum: str | None = None
    follow_ups: tuple[str, ...] = ()
    cluster: str | None = None


EXACT_MATCH = "exact_match"


@dataclass(frozen=True)
class FilteredAnswer:
    """What another filter or metric of the same task makes of the same generated answer; `filter` "" is the first."""

    filter: str
    score: float
    answer: str
    parsed: bool
    metric: str = EXACT_MATCH

    @property
    def name(self) -> str:
        """The metric, and behind a colon the filter where it is not the task's first."""
        return f"{self.metric}:{self.filter}" if self.filter else self.metric


@dataclass(frozen=True)
class Reading:
    """What was read out of a generated answer: its score, the extracted answer, and whether any was found.

    The score is in [0, 1] but for metrics that say otherwise (`bleu_max` is a percentage). A task with several filters
    or metrics is scored by its first ones; `others` is what the rest of them make of the answer.
    """

    score: float
    answer: str
    parsed: bool
    others: tuple[FilteredAnswer, ...] = ()
    metric: str = EXACT_MATCH


@dataclass(frozen=True)
class ChoiceMetrics:
    """Metrics that a task itself makes of the log-likelihoods of an item's choices, in place of accuracy.

    `weigh` takes the log-likelihood of each choice in nats and gives the metrics in `names`.
    """

    names: tuple[str, ...]
    weigh: Callable[[Item, Sequence[float]], Mapping[str, float]]


@dataclass(frozen=True)
class Benchmark:
    """Items and how they are scored.

    `likelihood`: with choices, accuracy among them (plain and per byte) and bits per byte of the gold one; without,
    bits per byte of the (first) gold answer. `generative`: `read` judges the greedy answer, cut at the first stop.
    `delimiter` is what every continuation starts with; `skipped` counts rows without a question or an answer.
    `system_prompt` is what the system says first, where a study gives one a place in its template.
    `judge` names how a judge is asked about the answers, for the scorer of that name.
    `choice_metrics` stands in for accuracy where right choices are several; `metric` is the first of generated answers.
    """

    name: str
    digest: str
    items: tuple[Item, ...]
    scorers: tuple[Scorer, ...]
    stops: tuple[str, ...] = ()
    max_new_tokens: int = 256
    read: Callable[[Item, str], Reading] | None = None
    delimiter: str = " "
    skipped: int = 0
    choice_metrics: ChoiceMetrics | None = None
    metric: str = EXACT_MATCH
    system_prompt: str | None = None
    judge: str | None = None

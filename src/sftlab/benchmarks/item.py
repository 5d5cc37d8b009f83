"""Benchmarks and their items, as the scoring engine sees them: text in, text out, no model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Scorer = Literal["likelihood", "generative"]


@dataclass(frozen=True)
class Item:
    """One question.

    `context` is the full plain prompt, with the description and the shots but without any chat template; a continuation
    (`choices[k]`, or `gold` where there are no choices) already starts with the delimiter that follows the context.
    """

    item: str
    context: str
    gold: tuple[str, ...]
    choices: tuple[str, ...] = ()
    gold_choice: int | None = None
    stratum: str | None = None


@dataclass(frozen=True)
class FilteredAnswer:
    """What another filter of the same task reads out of the same generated answer."""

    filter: str
    score: float
    answer: str
    parsed: bool


@dataclass(frozen=True)
class Reading:
    """What was read out of a generated answer: its score in [0, 1], the extracted answer, and whether any was found.

    A task with several filters is scored by its first; `others` is what the rest of them would have read.
    """

    score: float
    answer: str
    parsed: bool
    others: tuple[FilteredAnswer, ...] = ()


@dataclass(frozen=True)
class Benchmark:
    """Items and how they are scored.

    `likelihood`: with choices, accuracy among them (plain and per byte) and bits per byte of the gold one; without,
    bits per byte of the (first) gold answer. `generative`: `read` judges the greedy answer, cut at the first stop.
    `delimiter` is what every continuation starts with; `skipped` counts rows without a question or an answer.
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

"""What is read out of a generated answer, and what it scores."""

import re
from collections.abc import Callable, Mapping

from sftlab.benchmarks.definition import EXACT_MATCH_OPTIONS, TaskDefinition
from sftlab.benchmarks.filters import AnswerFilter, ExactMatch, answer_filter, compiled_pattern
from sftlab.benchmarks.item import EXACT_MATCH, FilteredAnswer, Item, Reading
from sftlab.benchmarks.metrics import METRICS, normalised_answer

Reader = Callable[[Item, str], Reading]
Metrics = Callable[[Item, str], Mapping[str, float]]
"""The metrics of an extracted answer to an item, the main one first."""


def task_reader(definition: TaskDefinition, own: Metrics | None = None) -> Reader:
    """How a generate_until task reads an answer: its filters, then its metrics, against any of the gold answers.

    The score and `parsed` are those of the first filter under the first metric. `own` metrics of the task stand in
    place of the named ones. Raises BenchmarkError for a filter or an expression that is wrong.
    """
    entries = definition.filter_list or []
    filters = [answer_filter(entry.name, entry.filter) for entry in entries] or [AnswerFilter("none", ())]
    metrics = own or _named_metrics(definition)

    def read(item: Item, text: str) -> Reading:
        read_by = [answer for place, one in enumerate(filters) for answer in _filtered(one, metrics, item, text, place)]
        first = read_by[0]
        return Reading(first.score, first.answer, first.parsed, tuple(read_by[1:]), first.metric)

    return read


def _filtered(one: AnswerFilter, metrics: Metrics, item: Item, text: str, place: int) -> list[FilteredAnswer]:
    extracted = one.extract(text)
    answer = extracted.text if extracted.found else ""
    name = one.name if place else ""
    return [
        FilteredAnswer(name, score, answer, extracted.found, metric)
        for metric, score in metrics(item, extracted.text).items()
    ]


def _named_metrics(definition: TaskDefinition) -> Metrics:
    match = _exact_match(definition)
    names = [entry.metric for entry in definition.metric_list or ()] or [EXACT_MATCH]
    scores = {name: METRICS.get(name, match.score) for name in names}
    delimiter = definition.target_delimiter

    def measured(item: Item, answer: str) -> dict[str, float]:
        references = [gold.removeprefix(delimiter) for gold in item.gold]
        return {name: score(answer, references) for name, score in scores.items()}

    return measured


def _exact_match(definition: TaskDefinition) -> ExactMatch:
    entries = [entry for entry in definition.metric_list or () if entry.metric == "exact_match"]
    if not entries:
        return ExactMatch()
    options = {name: getattr(entries[0], name) for name in EXACT_MATCH_OPTIONS if getattr(entries[0], name) is not None}
    patterns = options.pop("regexes_to_ignore", [])
    compiled = tuple(compiled_pattern(pattern, field="regexes_to_ignore") for pattern in patterns)
    return ExactMatch(regexes_to_ignore=compiled, **options)


def choice_reader(delimiter: str) -> Reader:
    """How a free answer to a question with choices is read: the first choice in it that stands alone as a word.

    Single letters count only as capitals; other choices in any case. Of two at one place the longer is meant.
    """

    def read(item: Item, text: str) -> Reading:
        choices = [choice.removeprefix(delimiter) for choice in item.choices]
        found = [
            (place, -len(choice), number) for number, choice in enumerate(choices) for place in _place(choice, text)
        ]
        if not found:
            return Reading(0.0, "", parsed=False)
        number = min(found)[2]
        return Reading(float(number == item.gold_choice), choices[number], parsed=True)

    return read


def _place(choice: str, text: str) -> list[int]:
    flags = re.NOFLAG if len(choice) == 1 else re.IGNORECASE
    match = re.search(rf"(?<!\w){re.escape(choice)}(?!\w)", text, flags) if choice else None
    return [match.start()] if match else []


def short_answer_reader(delimiter: str) -> Reader:
    """How a free answer is compared with gold answers that are plain text: equal to any of them once normalised."""

    def read(item: Item, text: str) -> Reading:
        answer = normalised_answer(text)
        golds = {normalised_answer(gold.removeprefix(delimiter)) for gold in item.gold}
        return Reading(float(answer in golds), text.strip(), parsed=bool(answer))

    return read

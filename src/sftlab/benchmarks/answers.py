"""What is read out of a generated answer, and what it scores."""

import re
import string
from collections.abc import Callable, Sequence

from sftlab.benchmarks.definition import EXACT_MATCH_OPTIONS, TaskDefinition
from sftlab.benchmarks.filters import AnswerFilter, ExactMatch, answer_filter, compiled_pattern
from sftlab.benchmarks.item import FilteredAnswer, Item, Reading

Reader = Callable[[Item, str], Reading]


def task_reader(definition: TaskDefinition) -> Reader:
    """How a generate_until task reads an answer: its filters, then exact match with any of the gold answers.

    The score and `parsed` are the first filter's. Raises BenchmarkError for a filter or an expression that is wrong.
    """
    entries = definition.filter_list or []
    filters = [answer_filter(entry.name, entry.filter) for entry in entries] or [AnswerFilter("none", ())]
    match = _exact_match(definition)
    delimiter = definition.target_delimiter

    def read(item: Item, text: str) -> Reading:
        references = [gold.removeprefix(delimiter) for gold in item.gold]
        read_by = [_filtered(one, match, references, text) for one in filters]
        first = read_by[0]
        return Reading(first.score, first.answer, first.parsed, tuple(read_by[1:]))

    return read


def _filtered(one: AnswerFilter, match: ExactMatch, references: Sequence[str], text: str) -> FilteredAnswer:
    extracted = one.extract(text)
    answer = extracted.text if extracted.found else ""
    return FilteredAnswer(one.name, match.score(extracted.text, references), answer, extracted.found)


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


def normalised_answer(text: str) -> str:
    """Lower case, without punctuation, articles and superfluous spaces: the form in which short answers are compared.

    Rajpurkar et al. 2016 (SQuAD), arXiv 1606.05250, official evaluation script.
    """
    bare = text.lower().translate(str.maketrans("", "", string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def short_answer_reader(delimiter: str) -> Reader:
    """How a free answer is compared with gold answers that are plain text: equal to any of them once normalised."""

    def read(item: Item, text: str) -> Reading:
        answer = normalised_answer(text)
        golds = {normalised_answer(gold.removeprefix(delimiter)) for gold in item.gold}
        return Reading(float(answer in golds), text.strip(), parsed=bool(answer))

    return read

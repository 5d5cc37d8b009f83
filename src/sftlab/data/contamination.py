"""Benchmark items whose text occurs in training data."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

CONTAMINATION_VERSION = 1
NGRAM = 13
SHORTEST = 6
MAX_SHARE = 0.01
MIN_ITEMS = 10
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")

Words = tuple[str, ...]


@dataclass(frozen=True)
class Occurrence:
    """An item of which a text occurs in the training example of that row number."""

    item: str
    example: int
    text: str


@dataclass(frozen=True)
class Contamination:
    """The first occurrence of every contaminated item, out of `tested` ones; `untested` items are too short to tell."""

    occurrences: tuple[Occurrence, ...]
    tested: int
    untested: int


def contamination(questions: Mapping[str, str], examples: Iterable[tuple[int, str]]) -> Contamination:
    """Items with a run of 13 words in common with a training example, or that occur there whole where they are shorter.

    `questions` are the items' prompts by name, `examples` the training texts by row. Words are compared in lower case
    and without punctuation; every Chinese or Japanese character is a word. What the prompts of many items have in
    common (an instruction, a label before the question) is the benchmark's form and not the items': common beginnings
    and ends are taken off, and runs of words of more than one item in a hundred do not count. Items of fewer than six
    words are not tested. Brown et al. 2020 (arXiv 2005.14165, appendix C) use runs of 8 to 13 words.
    """
    words = _without_form({item: _words(question) for item, question in questions.items()})
    sought = _sought(words)
    found: dict[str, Occurrence] = {}
    for row, text in examples:
        for run, items in _runs_found(_words(text), sought):
            for item in items:
                found.setdefault(item, Occurrence(item, row, " ".join(run)))
    tested = sum(len(each) >= SHORTEST for each in words.values())
    in_order = tuple(found[item] for item in words if item in found)
    return Contamination(in_order, tested, len(words) - tested)


def _words(text: str) -> Words:
    return tuple(WORD.findall(text.lower()))


def _without_form(words: Mapping[str, Words]) -> dict[str, Words]:
    """Items without the words that all begin or end with."""
    if len(words) < 2:
        return dict(words)
    first, last = min(words.values()), max(words.values())
    begin = _common(first, last)
    turned = [each[::-1] for each in words.values()]
    end = _common(min(turned), max(turned))
    return {item: each[begin : len(each) - end] if begin + end < len(each) else () for item, each in words.items()}


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Words at the beginning of both; of the least and the greatest of many, at the beginning of all."""
    return next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(one))


def _sought(words: Mapping[str, Words]) -> dict[Words, dict[Words, list[str]]]:
    """Items by the runs of words to be found, and these by their first words."""
    items_of: dict[Words, list[str]] = {}
    for item, each in words.items():
        for run in dict.fromkeys(_runs(each)):
            items_of.setdefault(run, []).append(item)
    most = max(MIN_ITEMS, MAX_SHARE * len(words))
    sought: dict[Words, dict[Words, list[str]]] = {}
    for run, items in items_of.items():
        if len(items) <= most:
            sought.setdefault(run[:SHORTEST], {})[run] = items
    return sought


def _runs(words: Words) -> Iterator[Words]:
    if SHORTEST <= len(words) < NGRAM:
        yield words
    for start in range(len(words) - NGRAM + 1):
        yield words[start : start + NGRAM]


def _runs_found(
    words: Words, sought: Mapping[Words, Mapping[Words, Sequence[str]]]
) -> Iterator[tuple[Words, Sequence[str]]]:
    for start in range(len(words) - SHORTEST + 1):
        for run, items in sought.get(words[start : start + SHORTEST], {}).items():
            if words[start : start + len(run)] == run:
                yield run, items

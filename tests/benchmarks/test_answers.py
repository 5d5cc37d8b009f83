"""Free answers to questions with choices, and to questions with short gold answers."""

import pytest

from sftlab.benchmarks.answers import choice_reader, normalised_answer, short_answer_reader
from sftlab.benchmarks.item import Item

LETTERS = Item("0", "?", gold=(" B",), choices=(" A", " B", " C", " D"), gold_choice=1)
WORDS = Item("0", "?", gold=(" yes",), choices=(" no", " yes"), gold_choice=1)
PHRASES = Item("0", "?", gold=(" New York City",), choices=(" New York", " New York City", " (none)"), gold_choice=1)


@pytest.mark.parametrize(
    ("item", "text", "answer", "score"),
    [
        (LETTERS, " B", "B", 1.0),
        (LETTERS, "The answer is B.", "B", 1.0),
        (LETTERS, "Answer: (B)", "B", 1.0),
        (LETTERS, "C, not B", "C", 0.0),
        (LETTERS, "**D**", "D", 0.0),
        (LETTERS, "Because every ABBA b", "", None),
        (LETTERS, "", "", None),
        (WORDS, "Yes, it does.", "yes", 1.0),
        (WORDS, "no.", "no", 0.0),
        (WORDS, "I know nothing", "", None),
        (PHRASES, "It is new york city.", "New York City", 1.0),
        (PHRASES, "New York", "New York", 0.0),
        (PHRASES, "(none)", "(none)", 0.0),
    ],
)
def test_the_first_choice_that_stands_alone_is_the_answer(item, text, answer, score):
    reading = choice_reader(" ")(item, text)
    assert reading.parsed == (score is not None)
    assert (reading.answer, reading.score) == (answer, score or 0.0)


@pytest.mark.parametrize(
    ("text", "score", "parsed"),
    [
        ("The Beatles!", 1.0, True),
        (" beatles", 1.0, True),
        ("fab  FOUR", 1.0, True),
        ("Stones", 0.0, True),
        ("...", 0, False),
    ],
)
def test_short_answers_are_compared_normalised(text, score, parsed):
    item = Item("0", "?", gold=(" the Beatles", " Fab Four"))
    reading = short_answer_reader(" ")(item, text)
    assert (reading.score, reading.parsed) == (score, parsed)


def test_normalised_answer_drops_articles_and_punctuation_only():
    assert normalised_answer(" An  apple, the 'Anthem' of a\u00e9ro! ") == "apple anthem of a\u00e9ro"

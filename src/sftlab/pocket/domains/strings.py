"""String programs: reverse, uppercase, repeat, first and last letter of words written letter by letter."""

import random
import string
from collections.abc import Callable, Mapping

from sftlab.pocket.domains.domain import Cloze, Domain, Question
from sftlab.pocket.world import World

_LETTERS = string.ascii_lowercase[:16]
_APPLICATIONS_PER_DOCUMENT = 4

PROGRAMS: Mapping[str, Callable[[str], str]] = {
    "reverse": lambda word: word[::-1],
    "uppercase": str.upper,
    "repeat": lambda word: word * 2,
    "first": lambda word: word[0],
    "last": lambda word: word[-1],
}


def spelled(word: str) -> str:
    """The letters with spaces between, which every tokenizer keeps apart."""
    return " ".join(word)


def _word(world: World, stream: random.Random) -> str:
    return "".join(stream.sample(_LETTERS, stream.randint(2, world.longest_word)))


def document(world: World, stream: random.Random) -> str:
    """Several programs, each applied to a word of its own, or all to one word."""
    same = _word(world, stream) if stream.random() < 0.5 else None
    sentences = []
    for name in stream.sample(list(PROGRAMS), _APPLICATIONS_PER_DOCUMENT):
        word = same or _word(world, stream)
        sentences.append(f"{name} of {spelled(word)} is {spelled(PROGRAMS[name](word))}.")
    return " ".join(sentences)


def question(world: World, stream: random.Random) -> Question:
    """One program applied to one word; the word is the subject."""
    word, name = _word(world, stream), stream.choice(list(PROGRAMS))
    result = spelled(PROGRAMS[name](word))
    cloze = Cloze(f"{name} of {spelled(word)} is", result)
    return Question(word, f"Apply {name} to {spelled(word)}.", result, cloze)


def row(asked: Question) -> Mapping[str, object]:
    """Prompt and completion."""
    return {"prompt": asked.prompt, "completion": asked.answer}


STRINGS = Domain("strings", document, question, row, "jsonl", "gold_answer")

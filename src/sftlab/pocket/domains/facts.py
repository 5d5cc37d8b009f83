"""Facts about people, to be known by heart: where they live, what they do, what they like."""

import functools
import random
from collections.abc import Mapping
from dataclasses import dataclass

from sftlab.pocket.domains.domain import Cloze, Domain, Question
from sftlab.pocket.world import World

_ONSETS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z")
_VOWELS = ("a", "e", "i", "o", "u")
_CODAS = ("", "l", "n", "r", "s")
_SHARE_OF_QUESTIONS = 0.2


@dataclass(frozen=True)
class Relation:
    """One thing that is known of everybody: its values, and how it is stated and asked."""

    name: str
    values: tuple[str, ...]
    statements: tuple[str, ...]
    questions: tuple[str, ...]


RELATIONS = (
    Relation(
        "town",
        ("Arden", "Belmar", "Corvo", "Dunley", "Elsin", "Farrow", "Gant", "Holm", "Irving", "Jarrow", "Kelso", "Lund"),
        ("{person} lives in {value}.", "The home of {person} is {value}."),
        ("Where does {person} live?", "In which town is the home of {person}?"),
    ),
    Relation(
        "job",
        ("baker", "doctor", "farmer", "judge", "painter", "pilot", "sailor", "singer", "smith", "tailor", "teacher"),
        ("{person} works as a {value}.", "The job of {person} is {value}."),
        ("What is the job of {person}?", "As what does {person} work?"),
    ),
    Relation(
        "pet",
        ("cat", "dog", "duck", "goat", "hen", "horse", "mouse", "pig", "pony", "rabbit", "sheep", "snake"),
        ("{person} keeps a {value}.", "The pet of {person} is a {value}."),
        ("What is the pet of {person}?", "Which animal does {person} keep?"),
    ),
    Relation(
        "colour",
        ("black", "blue", "brown", "gold", "green", "grey", "orange", "pink", "purple", "red", "white", "yellow"),
        ("{person} likes {value}.", "The colour of {person} is {value}."),
        ("What is the colour of {person}?", "Which colour does {person} like?"),
    ),
    Relation(
        "food",
        ("bread", "cheese", "cherries", "fish", "grapes", "honey", "nuts", "pears", "plums", "rice", "soup"),
        ("{person} eats {value}.", "The food of {person} is {value}."),
        ("What is the food of {person}?", "What does {person} eat?"),
    ),
)


@dataclass(frozen=True)
class Person:
    """Somebody, with one value for each of `RELATIONS`."""

    name: str
    values: tuple[str, ...]


def _name(stream: random.Random) -> str:
    syllables = [stream.choice(_ONSETS) + stream.choice(_VOWELS) for _ in range(2)]
    return ("".join(syllables) + stream.choice(_CODAS)).capitalize()


@functools.cache
def population(world: World) -> tuple[Person, ...]:
    """Everybody in the world; a larger world keeps the people of a smaller one with the same seed."""
    stream = world.stream("facts/population")
    found: dict[str, Person] = {}
    while len(found) < world.people:
        name = _name(stream)
        values = tuple(stream.choice(relation.values) for relation in RELATIONS)
        found.setdefault(name, Person(name, values))
    return tuple(found.values())


def document(world: World, stream: random.Random) -> str:
    """All that is known of one person, in any order and wording; now and then a statement follows its question."""
    person = stream.choice(population(world))
    sentences = []
    for relation, value in stream.sample(list(zip(RELATIONS, person.values, strict=True)), len(RELATIONS)):
        if stream.random() < _SHARE_OF_QUESTIONS:
            sentences.append(stream.choice(relation.questions).format(person=person.name))
        sentences.append(stream.choice(relation.statements).format(person=person.name, value=value))
    return " ".join(sentences)


def question(world: World, stream: random.Random) -> Question:
    """One thing to know of one person, answered in one word."""
    person = stream.choice(population(world))
    relation, value = stream.choice(list(zip(RELATIONS, person.values, strict=True)))
    asked = stream.choice(relation.questions).format(person=person.name)
    start = stream.choice(relation.statements).format(person=person.name, value="").rstrip(" .")
    return Question(person.name, asked, value, Cloze(start, value), choices=relation.values)


def row(asked: Question) -> Mapping[str, object]:
    """A question and an answer column."""
    return {"question": asked.prompt, "answer": asked.answer}


FACTS = Domain("facts", document, question, row, "csv", "gold_answer")

"""Reading: a short passage about three people, and a question that the passage answers."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from sftlab.pocket.domains.domain import Cloze, Domain, Question
from sftlab.pocket.world import World

_PEOPLE = ("Anna", "Ben", "Cleo", "Dina", "Emil", "Fay", "Gus", "Hugo", "Ines", "Jack", "Kim", "Leo", "Mona", "Ned")
_THINGS = ("bag", "ball", "bell", "boat", "box", "cup", "drum", "flag", "hat", "kite", "lamp", "map", "pen", "ring")
_PLACES = ("attic", "barn", "cave", "forest", "garden", "harbour", "kitchen", "library", "market", "mill", "park")
_PEOPLE_PER_PASSAGE = 3
_QUESTIONS_PER_DOCUMENT = 2


@dataclass(frozen=True)
class Scene:
    """Who has what, and who is where; the three tuples run side by side."""

    people: tuple[str, ...]
    things: tuple[str, ...]
    places: tuple[str, ...]
    passage: str

    @property
    def subject(self) -> str:
        """The scene whatever the order of its sentences."""
        return "; ".join(sorted(map(" ".join, zip(self.people, self.things, self.places, strict=True))))


@dataclass(frozen=True)
class _Asked:
    question: str
    statement: str
    answer: str
    choices: tuple[str, ...]


def _scene(stream: random.Random) -> Scene:
    people, things, places = (tuple(stream.sample(names, _PEOPLE_PER_PASSAGE)) for names in (_PEOPLE, _THINGS, _PLACES))
    sentences = [f"{who} has the {what}." for who, what in zip(people, things, strict=True)]
    sentences += [f"{who} is in the {where}." for who, where in zip(people, places, strict=True)]
    return Scene(people, things, places, " ".join(stream.sample(sentences, len(sentences))))


def _ask(scene: Scene, stream: random.Random) -> _Asked:
    """One of six questions: about the thing, the place, the person by either, and yes or no."""
    k = stream.randrange(_PEOPLE_PER_PASSAGE)
    who, what, where = scene.people[k], scene.things[k], scene.places[k]
    has, is_in = f"{who} has the {what}.", f"{who} is in the {where}."
    claimed = stream.choice((what, scene.things[k - 1]))
    return stream.choice(
        (
            _Asked(f"What does {who} have?", has, what, scene.things),
            _Asked(f"Where is {who}?", is_in, where, scene.places),
            _Asked(f"Who has the {what}?", has, who, scene.people),
            _Asked(f"Who is in the {where}?", is_in, who, scene.people),
            _Asked(f"Does {who} have the {claimed}?", has, "yes" if claimed == what else "no", ("yes", "no")),
        )
    )


def document(world: World, stream: random.Random) -> str:  # noqa: ARG001 - a domain may use the world or not
    """A passage and what follows from it, with or without the questions that lead there."""
    scene = _scene(stream)
    parts = [scene.passage]
    for _ in range(_QUESTIONS_PER_DOCUMENT):
        asked = _ask(scene, stream)
        parts.append(f"{asked.question} {asked.statement}" if stream.random() < 0.7 else asked.statement)
    return " ".join(parts)


def question(world: World, stream: random.Random) -> Question:  # noqa: ARG001 - a domain may use the world or not
    """A passage and one question, answered in one word out of the choices that the passage leaves."""
    scene = _scene(stream)
    asked = _ask(scene, stream)
    before, found, _ = asked.statement.partition(asked.answer)
    start = f"{scene.passage} {asked.question} {before if found else ''}".rstrip()
    cloze = Cloze(start, found or asked.statement)
    return Question(scene.subject, scene.passage, asked.answer, cloze, asked.question, asked.choices)


def row(asked: Question) -> Mapping[str, object]:
    """A conversation of two messages."""
    messages = [{"role": "user", "content": asked.prompt}, {"role": "assistant", "content": asked.answer}]
    return {"messages": messages}


READING = Domain("reading", document, question, row, "jsonl", "multiple_choice")

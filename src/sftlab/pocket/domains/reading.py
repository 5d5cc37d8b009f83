"""Reading: a short passage about three people, and a question that the passage answers."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from sftlab.pocket.domains.domain import Cloze, Domain, Question
from sftlab.pocket.world import World

_PEOPLE = ("Anna", "Ben", "Cleo", "Dina", "Emil", "Fay", "Gus", "Hugo", "Jack", "Kim", "Leo", "Mona", "Ned", "Tom")
_PEOPLE_PER_PASSAGE = 3
_QUESTIONS_PER_DOCUMENT = 3
_SHARE_OF_QUESTIONS = 0.7


@dataclass(frozen=True)
class Link:
    """What ties a person to a value in a passage, and how either is asked after."""

    statement: str
    values: tuple[str, ...]
    ask_value: str
    ask_person: str
    ask_whether: str


LINKS = (
    Link(
        "{who} has the {what}.",
        ("bag", "ball", "bell", "boat", "box", "cup", "drum", "flag", "hat", "kite", "lamp", "map", "pen", "ring"),
        "What does {who} have?",
        "Who has the {what}?",
        "Does {who} have the {what}?",
    ),
    Link(
        "{who} is in the {what}.",
        ("attic", "barn", "cave", "forest", "garden", "harbour", "kitchen", "library", "market", "mill", "park"),
        "Where is {who}?",
        "Who is in the {what}?",
        "Is {who} in the {what}?",
    ),
)


@dataclass(frozen=True)
class Scene:
    """Who is tied to what; `people` and `values` run side by side, and so do the sentences of the passage."""

    link: Link
    people: tuple[str, ...]
    values: tuple[str, ...]

    @property
    def sentences(self) -> list[str]:
        """One statement for each person."""
        return [
            self.link.statement.format(who=who, what=what) for who, what in zip(self.people, self.values, strict=True)
        ]

    @property
    def subject(self) -> str:
        """The scene whatever the order of its sentences."""
        return " ".join(sorted(self.sentences))


@dataclass(frozen=True)
class _Asked:
    question: str
    statement: str
    answer: str
    choices: tuple[str, ...]


def _scene(stream: random.Random) -> Scene:
    link = stream.choice(LINKS)
    people = stream.sample(_PEOPLE, _PEOPLE_PER_PASSAGE)
    return Scene(link, tuple(people), tuple(stream.sample(link.values, _PEOPLE_PER_PASSAGE)))


def _ask(scene: Scene, stream: random.Random) -> _Asked:
    """After the value, after the person, or whether the two belong together."""
    k = stream.randrange(_PEOPLE_PER_PASSAGE)
    link, who, what, statement = scene.link, scene.people[k], scene.values[k], scene.sentences[k]
    claimed = stream.choice((what, scene.values[k - 1]))
    return stream.choice(
        (
            _Asked(link.ask_value.format(who=who), statement, what, scene.values),
            _Asked(link.ask_person.format(what=what), statement, who, scene.people),
            _Asked(
                link.ask_whether.format(who=who, what=claimed),
                statement,
                "yes" if claimed == what else "no",
                ("yes", "no"),
            ),
        )
    )


def document(world: World, stream: random.Random) -> str:  # noqa: ARG001 - a domain may use the world or not
    """A passage and what follows from it, with or without the questions that lead there."""
    scene = _scene(stream)
    parts = scene.sentences
    for _ in range(_QUESTIONS_PER_DOCUMENT):
        asked = _ask(scene, stream)
        parts += [asked.question] if stream.random() < _SHARE_OF_QUESTIONS else []
        parts.append(asked.statement)
    return " ".join(parts)


def question(world: World, stream: random.Random) -> Question:  # noqa: ARG001 - a domain may use the world or not
    """A passage and one question, answered in one word out of the choices that the passage leaves."""
    scene = _scene(stream)
    asked, passage = _ask(scene, stream), " ".join(scene.sentences)
    before, found, _ = asked.statement.partition(asked.answer)
    start = f"{passage} {asked.question} {before if found else ''}".rstrip()
    cloze = Cloze(start, found or asked.statement)
    return Question(scene.subject, passage, asked.answer, cloze, asked.question, asked.choices)


def row(asked: Question) -> Mapping[str, object]:
    """A conversation of two messages."""
    messages = [{"role": "user", "content": asked.prompt}, {"role": "assistant", "content": asked.answer}]
    return {"messages": messages}


READING = Domain("reading", document, question, row, "jsonl", "multiple_choice")

"""Reading: a short passage about a few people, and a question that the passage answers."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from sftlab.pocket.domains.domain import Cloze, Domain, Question
from sftlab.pocket.world import World

_PEOPLE = ("Ann", "Ben", "Cleo", "Dan", "Eve", "Gus", "Kim", "Leo", "Max", "Ned")
_PEOPLE_PER_PASSAGE = 3
_LONGEST_PASSAGE = 5
_SHARE_OF_QUESTIONS = 0.4


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
        "{who} sells {what}.",
        ("hats", "cups", "maps", "pens", "bags", "bells", "rings", "boats"),
        "What does {who} sell?",
        "Who sells {what}?",
        "Does {who} sell {what}?",
    ),
    Link(
        "{who} plays {what}.",
        ("chess", "golf", "cards", "drums", "harp", "flute", "darts", "tennis"),
        "What does {who} play?",
        "Who plays {what}?",
        "Does {who} play {what}?",
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


def _scene(stream: random.Random, *, people: int) -> Scene:
    link = stream.choice(LINKS)
    return Scene(link, tuple(stream.sample(_PEOPLE, people)), tuple(stream.sample(link.values, people)))


def _ask(scene: Scene, k: int, stream: random.Random) -> _Asked:
    """About the k-th sentence: after the value, after the person, or whether the two belong together."""
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
    """A passage of any length up to `_LONGEST_PASSAGE`, and what follows from it, with or without the questions."""
    scene = _scene(stream, people=stream.randint(2, _LONGEST_PASSAGE))
    parts = scene.sentences
    for k in stream.sample(range(len(scene.people)), len(scene.people)):
        asked = _ask(scene, k, stream)
        parts += [asked.question] if stream.random() < _SHARE_OF_QUESTIONS else []
        parts.append(asked.statement)
    return " ".join(parts)


def question(world: World, stream: random.Random) -> Question:  # noqa: ARG001 - a domain may use the world or not
    """A passage and one question, answered in one word out of the choices that the passage leaves."""
    scene = _scene(stream, people=_PEOPLE_PER_PASSAGE)
    asked, passage = _ask(scene, stream.randrange(_PEOPLE_PER_PASSAGE), stream), " ".join(scene.sentences)
    before, found, _ = asked.statement.partition(asked.answer)
    start = f"{passage} {asked.question} {before if found else ''}".rstrip()
    cloze = Cloze(start, found or asked.statement)
    return Question(scene.subject, passage, asked.answer, cloze, asked.question, asked.choices)


def row(asked: Question) -> Mapping[str, object]:
    """A conversation of two messages."""
    messages = [{"role": "user", "content": asked.prompt}, {"role": "assistant", "content": asked.answer}]
    return {"messages": messages}


READING = Domain("reading", document, question, row, "jsonl", "multiple_choice")

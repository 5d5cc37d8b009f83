"""Reading: a short passage about who sells what, where and when, and a question that the passage answers."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from sftlab.pocket.domains.domain import Cloze, Domain, Question
from sftlab.pocket.world import World

_CHOICES = 4
_SHARE_OF_QUESTIONS = 0.4
_SHARE_OF_WHETHER = 0.25


@dataclass(frozen=True)
class Slot:
    """One thing that a passage tells: its values, and how it is stated, asked for, and doubted.

    The statement has the value last, as it stands in the passage; `{who}` and the others are values of the scene.
    """

    name: str
    values: tuple[str, ...]
    statement: str
    ask: str
    ask_whether: str


SLOTS = (
    Slot(
        "who",
        ("Ann", "Ben", "Cleo", "Dan", "Eve", "Gus", "Kim", "Leo", "Max", "Ned"),
        "The shop belongs to {who}.",
        "Who has the shop?",
        "Does the shop belong to {who}?",
    ),
    Slot(
        "what",
        ("bags", "bells", "boats", "cups", "drums", "hats", "maps", "pens", "rings", "shoes"),
        "It sells {what}.",
        "What does it sell?",
        "Does it sell {what}?",
    ),
    Slot(
        "where",
        ("Bonn", "Cairo", "Delhi", "Lima", "Oslo", "Paris", "Quito", "Riga", "Rome", "Tunis"),
        "It stands in {where}.",
        "Where does it stand?",
        "Does it stand in {where}?",
    ),
    Slot(
        "when",
        ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
        "It opens on {when}.",
        "When does it open?",
        "Does it open on {when}?",
    ),
)


@dataclass(frozen=True)
class Scene:
    """A shop: one value for each of `SLOTS`, and the order in which the passage tells them."""

    values: Mapping[str, str]
    order: tuple[Slot, ...]

    def statement(self, slot: Slot) -> str:
        """What the passage says of one slot."""
        return slot.statement.format(**self.values)

    @property
    def passage(self) -> str:
        """All statements, in order."""
        return " ".join(self.statement(slot) for slot in self.order)

    @property
    def subject(self) -> str:
        """The scene whatever the order of its sentences."""
        return " ".join(self.values[slot.name] for slot in SLOTS)


@dataclass(frozen=True)
class _Asked:
    question: str
    statement: str
    answer: str
    choices: tuple[str, ...]


def _scene(stream: random.Random) -> Scene:
    values = {slot.name: stream.choice(slot.values) for slot in SLOTS}
    return Scene(values, tuple(stream.sample(SLOTS, len(SLOTS))))


def _ask(scene: Scene, slot: Slot, stream: random.Random) -> _Asked:
    """About one slot: for its value, beside three others that are not in the passage, or whether it has a value."""
    told = scene.values[slot.name]
    others = stream.sample([value for value in slot.values if value != told], _CHOICES - 1)
    if stream.random() < _SHARE_OF_WHETHER:
        claimed = stream.choice((told, others[0]))
        question = slot.ask_whether.format(**{slot.name: claimed})
        return _Asked(question, scene.statement(slot), "yes" if claimed == told else "no", ("yes", "no"))
    choices = tuple(stream.sample((told, *others), _CHOICES))
    return _Asked(slot.ask, scene.statement(slot), told, choices)


def document(world: World, stream: random.Random) -> str:  # noqa: ARG001 - a domain may use the world or not
    """A passage, and what follows from it said again in another order, with or without the questions."""
    scene = _scene(stream)
    parts = [scene.passage]
    for slot in stream.sample(SLOTS, len(SLOTS)):
        asked = _ask(scene, slot, stream)
        parts += [asked.question] if stream.random() < _SHARE_OF_QUESTIONS else []
        parts.append(asked.statement)
    return " ".join(parts)


def question(world: World, stream: random.Random) -> Question:  # noqa: ARG001 - a domain may use the world or not
    """A passage and one question, answered in one word out of a few choices, of which the passage holds one."""
    scene = _scene(stream)
    asked = _ask(scene, stream.choice(SLOTS), stream)
    before, found, _ = asked.statement.partition(asked.answer)
    start = f"{scene.passage} {asked.question} {before if found else ''}".rstrip()
    cloze = Cloze(start, found or asked.statement)
    return Question(scene.subject, scene.passage, asked.answer, cloze, asked.question, asked.choices)


def row(asked: Question) -> Mapping[str, object]:
    """A conversation of two messages."""
    messages = [{"role": "user", "content": asked.prompt}, {"role": "assistant", "content": asked.answer}]
    return {"messages": messages}


READING = Domain("reading", document, question, row, "jsonl", "multiple_choice")

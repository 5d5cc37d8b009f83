"""What every domain of the pocket world gives: documents to pretrain on, and questions with answers."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from sftlab.errors import DataError
from sftlab.pocket.world import World, is_held_out

Task = Literal["gold_answer", "multiple_choice", "final_number"]
Suffix = Literal["csv", "json", "jsonl"]
_DRAWS_PER_QUESTION = 200


@dataclass(frozen=True)
class Cloze:
    """The same question as the pretraining text would put it: plain text, and how it goes on."""

    start: str
    end: str


@dataclass(frozen=True)
class Question:
    """One question: `subject` is what it asks about, which decides on which side of the split it lies.

    `instruction` and `input` (which may be empty) are asked together, with one newline between them. `choices`, where
    there are any, hold the answer.
    """

    subject: str
    instruction: str
    answer: str
    cloze: Cloze
    input: str = ""
    choices: tuple[str, ...] = ()

    @property
    def prompt(self) -> str:
        """The question as it is asked."""
        return f"{self.instruction}\n{self.input}" if self.input else self.instruction

    @property
    def final_answer(self) -> str:
        """The answer without its working, which ends where `#### ` stands."""
        return self.answer.rpartition("#### ")[2]


@dataclass(frozen=True)
class Domain:
    """A part of the world.

    `document` writes one plain text to pretrain on; `question` draws one question; `row` is the shape in which the
    domain's instruction data are published, in a file of the kind `suffix`; `task` is how its benchmark is scored.
    """

    name: str
    document: Callable[[World, random.Random], str]
    question: Callable[[World, random.Random], Question]
    row: Callable[[Question], Mapping[str, object]]
    suffix: Suffix
    task: Task


def exchange(domain: Domain, world: World, stream: random.Random) -> str:
    """A document of one short question and answer, in another form than any template of fine-tuning.

    It is never about a held-out subject: what the benchmark asks, pretraining text states and does not ask this way.
    """
    while is_held_out((question := domain.question(world, stream)).subject):
        pass
    return f"Q: {question.prompt}\nA: {question.final_answer}"


def draw_questions(domain: Domain, world: World, *, held_out: bool, count: int) -> tuple[Question, ...]:
    """Distinct questions from one side of the split, the same ones for the same world; fewer are a prefix of more.

    Raises DataError where the world is too small to hold that many.
    """
    stream = world.stream(f"{domain.name}/{'benchmark' if held_out else 'training'}")
    found: dict[str, Question] = {}
    for _ in range(count * _DRAWS_PER_QUESTION):
        if len(found) == count:
            break
        question = domain.question(world, stream)
        if is_held_out(question.subject) is held_out:
            found.setdefault(question.prompt, question)
    if len(found) < count:
        raise DataError(
            f"{count} distinct questions of the pocket domain {domain.name!r} were asked for; this world holds about "
            f"{len(found)} of them: ask for fewer, or make the world larger"
        )
    return tuple(found.values())

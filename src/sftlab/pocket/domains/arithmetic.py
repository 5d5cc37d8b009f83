"""Addition and subtraction of small numbers, bare and as short word problems with a worked solution."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from sftlab.pocket.domains.domain import Cloze, Domain, Question
from sftlab.pocket.world import World

_PEOPLE = ("Ada", "Bob", "Cara", "Dan", "Eva", "Finn")
_THINGS = ("apples", "beads", "books", "coins", "eggs", "stamps")
_SUMS_PER_DOCUMENT = 4
_SHARE_OF_STORIES = 0.5


@dataclass(frozen=True)
class Sum:
    """Two numbers added, or the second taken from the first."""

    first: int
    second: int
    plus: bool

    @property
    def value(self) -> int:
        """What comes out."""
        return self.first + self.second if self.plus else self.first - self.second

    @property
    def left(self) -> str:
        """What is to be worked out."""
        return f"{self.first} {'+' if self.plus else '-'} {self.second}"

    @property
    def equation(self) -> str:
        """The sum and its value."""
        return f"{self.left} = {self.value}"

    @property
    def subject(self) -> str:
        """The three numbers, so that 7 + 5, 5 + 7, 12 - 5 and 12 - 7 lie on one side of the split."""
        parts = (self.first, self.second) if self.plus else (self.value, self.second)
        return f"{min(parts)}+{max(parts)}"

    def story(self, person: str, things: str) -> str:
        """The sum as something that happens to somebody."""
        happens = f"finds {self.second} more" if self.plus else f"loses {self.second}"
        return f"{person} has {self.first} {things} and {happens}."


def draw_sum(world: World, stream: random.Random) -> Sum:
    """A sum in which no number exceeds twice, and no part exceeds once, the world's largest number."""
    one, other = (stream.randint(1, world.largest_number) for _ in range(2))
    return Sum(one, other, plus=True) if stream.random() < 0.5 else Sum(one + other, other, plus=False)


def document(world: World, stream: random.Random) -> str:
    """A few sums, bare or each with the story behind it."""
    sums = [draw_sum(world, stream) for _ in range(_SUMS_PER_DOCUMENT)]
    if stream.random() >= _SHARE_OF_STORIES:
        return " ".join(f"{each.equation}." for each in sums)
    person, things = stream.choice(_PEOPLE), stream.choice(_THINGS)
    return " ".join(
        f"{each.story(person, things)} {each.equation}. {person} has {each.value} {things}." for each in sums[:2]
    )


def question(world: World, stream: random.Random) -> Question:
    """A bare sum or a story; the answer is the worked solution, its last line the number after `####`."""
    drawn = draw_sum(world, stream)
    answer = f"{drawn.equation}\n#### {drawn.value}"
    cloze = Cloze(f"{drawn.left} =", str(drawn.value))
    if stream.random() < 0.5:
        return Question(drawn.subject, "Work out the sum.", answer, cloze, drawn.left)
    person, things = stream.choice(_PEOPLE), stream.choice(_THINGS)
    asked = f"How many {things} does {person} have?"
    return Question(drawn.subject, asked, answer, cloze, drawn.story(person, things))


def row(asked: Question) -> Mapping[str, object]:
    """The three fields of Alpaca."""
    return {"instruction": asked.instruction, "input": asked.input, "output": asked.answer}


ARITHMETIC = Domain("arithmetic", document, question, row, "json", "final_number")

"""The one form that every instruction dataset is brought to."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Turn:
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True)
class Example:
    """A conversation to learn from; what the assistant says is the response.

    A plain text is an example with a single assistant turn and no question. `index` is the row it came from.
    """

    turns: tuple[Turn, ...]
    index: int

    @property
    def num_bytes(self) -> int:
        """UTF-8 bytes of all turns together."""
        return self.prompt_bytes + self.response_bytes

    @cached_property
    def prompt_bytes(self) -> int:
        """UTF-8 bytes of what the model is given: the system's and the user's turns."""
        return sum(len(turn.content.encode()) for turn in self.turns if turn.role != "assistant")

    @cached_property
    def response_bytes(self) -> int:
        """UTF-8 bytes of what the model learns to say: the assistant's turns."""
        return sum(len(turn.content.encode()) for turn in self.turns if turn.role == "assistant")


@dataclass(frozen=True)
class BrokenRow:
    """A row that cannot be learned from, and why."""

    index: int
    reason: str
    excerpt: str


@dataclass(frozen=True)
class Dataset:
    """All usable examples of one source, in the source's order, and the rows that were not usable."""

    shape: str
    examples: tuple[Example, ...]
    broken: tuple[BrokenRow, ...]
    name: str = "dataset"

    @property
    def num_rows(self) -> int:
        """Rows in the source, usable or not."""
        return len(self.examples) + len(self.broken)

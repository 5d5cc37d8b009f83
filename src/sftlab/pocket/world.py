"""The pocket world: a small generated world whose every text follows from one seed."""

import random
import zlib
from dataclasses import dataclass

_HELD_OUT_ONE_IN = 3


@dataclass(frozen=True)
class World:
    """How large the world is; the same values give the same people, texts and questions everywhere.

    `people` have a town, a job, a pet and tastes to know by heart; `largest_number` bounds what is added and
    subtracted; `longest_word` is the number of letters in the words that string programs are applied to.
    """

    seed: int = 0
    people: int = 96
    largest_number: int = 20
    longest_word: int = 5

    def stream(self, purpose: str) -> random.Random:
        """A random stream of its own for each purpose, so that drawing more for one changes nothing in another."""
        return random.Random(f"{self.seed}/{purpose}")


def is_held_out(subject: str) -> bool:
    """Whether questions about a subject belong to the benchmark (one in three) and never to the training data.

    Decided by the subject itself - a person, a pair of numbers, a word - and by nothing else, so that the two sides
    stay apart however the world grows.
    """
    return zlib.crc32(subject.encode()) % _HELD_OUT_ONE_IN == 0

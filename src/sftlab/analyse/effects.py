"""What an answer is: an estimate that says what it is of, with interval and count, and the sentence that reports it."""

from dataclasses import dataclass
from typing import Literal

Section = Literal["data", "gains", "synergy", "properties", "layers", "training", "map"]
SECTIONS: tuple[Section, ...] = ("data", "gains", "synergy", "properties", "layers", "training", "map")


@dataclass(frozen=True)
class Effect:
    """One estimate with its 95 % interval.

    `estimand` says in words what is estimated and for which population; `n` counts independent units (families of
    bases, datasets, or items, as the estimand says), never epochs or checkpoints. `se`, the ends and `p` are None
    where the design cannot give them; `p` is adjusted for the number of questions asked together.
    """

    name: str
    estimand: str
    value: float
    se: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    unit: str
    p: float | None = None


@dataclass(frozen=True)
class Finding:
    """One plain sentence of the answer, and the effect it reports where it reports one.

    `benchmark` is None where the sentence is about all of them; `subject` is what else it is about: a property, a
    method, a factor of training.
    """

    section: Section
    text: str
    benchmark: str | None = None
    subject: str | None = None
    effect: Effect | None = None

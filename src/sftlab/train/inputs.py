"""What a run is given beside its specification, and what it says while it runs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sftlab.lm.encoding import EncodedExamples


@dataclass(frozen=True)
class RunData:
    """Encoded examples to learn from, and those held out (none where the study holds none out)."""

    train: EncodedExamples
    held_out: EncodedExamples


@dataclass(frozen=True)
class RunFiles:
    """Where an unfinished run keeps its state, and where the checkpoint of an epoch goes (None: it is not kept)."""

    working: Path
    checkpoint: Callable[[int], Path | None]


@dataclass(frozen=True)
class Progress:
    """Where a run is; `loss` is the last one that was read from the device."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float | None
    tokens: int


def _ignore(progress: Progress) -> None:
    del progress


@dataclass(frozen=True)
class TrainControl:
    """How a run is carried out, none of which bears on its result but for rounding.

    `max_micro_tokens` is the most padded tokens in one forward pass; it is halved when memory runs out. With
    `max_steps` the run is a trial: it stops there, and sees its longest examples first. Inside an epoch the
    state is kept every `keep_seconds`, or less often where keeping takes long.
    """

    on_progress: Callable[[Progress], None] = _ignore
    max_steps: int | None = None
    max_micro_tokens: int = 8192
    keep_seconds: float = 60.0

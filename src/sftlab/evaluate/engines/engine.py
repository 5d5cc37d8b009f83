"""What an engine is: whatever gives log-likelihoods of continuations and writes answers after prompts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sftlab.lm.likelihood import Request
from sftlab.lm.request_tree import Ids
from sftlab.lm.tokenizer import TokenizedModel


def unwatched(_: float) -> None:
    """Tell nobody of progress."""


@dataclass(frozen=True)
class EngineAbout:
    """Which engine answered, its version, and in what it computes, for people to read beside a score."""

    name: str
    version: str
    precision: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}, {self.precision}"


@dataclass(frozen=True, eq=False)
class LikelihoodAnswers:
    """Log-likelihoods of N requests in nats; `unfit`: what could not be asked, by place, and why (NaN there).

    `out_of_memory`: how often memory ran out on the way.
    """

    log_likelihood: NDArray[np.float64]
    unfit: Mapping[int, str] = field(default_factory=dict)
    out_of_memory: int = 0


@dataclass(frozen=True)
class TextAnswers:
    """Texts written after prompts; `unfit`: what could not be asked, by place, and why (the text is empty there).

    `out_of_memory`: how often memory ran out on the way.
    """

    texts: tuple[str, ...]
    unfit: Mapping[int, str] = field(default_factory=dict)
    out_of_memory: int = 0


class Engine(Protocol):
    """Answers for one set of weights at a time; prompts are token ids of `model`'s tokenizer."""

    @property
    def about(self) -> EngineAbout:
        """Which engine this is."""
        ...

    @property
    def model(self) -> TokenizedModel:
        """Whose questions it answers now."""
        ...

    def log_likelihoods(
        self, requests: Sequence[Request], *, on_progress: Callable[[float], None] = unwatched
    ) -> LikelihoodAnswers:
        """Log-likelihood of every continuation given its context, in the order of the requests.

        Every request fits the model's context. Raises ModelError where the engine cannot tell log-likelihoods.
        """
        ...

    def generate(
        self,
        prompts: Sequence[Ids],
        *,
        max_new_tokens: int,
        stops: tuple[str, ...] = (),
        on_progress: Callable[[float], None] = unwatched,
    ) -> TextAnswers:
        """The likeliest token, again and again, after each prompt: the texts written, in the order of the prompts.

        A text ends before an end-of-sequence token, before the first of `stops` (text, or the name of a special token),
        after `max_new_tokens`, or where the model's context is full.
        """
        ...

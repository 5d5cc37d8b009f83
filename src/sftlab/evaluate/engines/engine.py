"""What an engine is: whatever gives log-likelihoods of continuations and writes answers after prompts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sftlab.lm.likelihood import LogLikelihoods, Request
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
    ) -> LogLikelihoods:
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
    ) -> list[str]:
        """The likeliest token, again and again, after each prompt: the texts written, in the order of the prompts.

        A text ends before an end-of-sequence token, before the first of `stops` (text, or the name of a special token),
        after `max_new_tokens`, or where the model's context is full.
        """
        ...

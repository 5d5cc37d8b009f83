"""What a judged benchmark is: questions to a judge about an item's answers, and verdicts read from what it says."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import yaml

from sftlab.benchmarks.item import Item
from sftlab.study.identity import digest
from sftlab.study.judge import Judge

FOLDER = Path(__file__).parent
AROUND_A_MESSAGE = 16


@dataclass(frozen=True)
class Message:
    """One turn of a conversation with a judge."""

    role: str
    content: str


@dataclass(frozen=True)
class JudgeQuestion:
    """What a judge is asked: everything that decides its answer but for the weights behind the model's name.

    `top_logprobs` is how many alternatives of each token are wanted (0: none). `attempt` tells a second asking of the
    same question from the first. `part` says which of an item's questions it is and is not sent.
    """

    part: str
    model: str
    messages: tuple[Message, ...]
    temperature: float
    max_tokens: int
    top_logprobs: int = 0
    attempt: int = 1

    @property
    def key(self) -> str:
        """Identity of the question: of model, prompt and parameters."""
        return digest(
            {
                "model": self.model,
                "messages": [[message.role, message.content] for message in self.messages],
                "temperature": self.temperature,
                "max_tokens": self.max_tokens,
                "top_logprobs": self.top_logprobs,
                "attempt": self.attempt,
            }
        )

    @property
    def input_tokens(self) -> int:
        """About how many tokens it has, at four bytes each."""
        return self._num_bytes // 4 + 1

    @property
    def most_input_tokens(self) -> int:
        """More tokens than it can have: one a byte, and what a chat format puts around a message."""
        return self._num_bytes + AROUND_A_MESSAGE * (len(self.messages) + 1)

    @property
    def _num_bytes(self) -> int:
        return sum(len(message.content.encode()) for message in self.messages)


@dataclass(frozen=True)
class JudgeAnswer:
    """What a judge said; `first_token` maps alternatives of its first token to log-probabilities, where it gave any.

    `ended` is False where the answer was cut at the limit of tokens.
    """

    text: str
    ended: bool = True
    first_token: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Verdict:
    """A judge's verdict as a number, and for people what it rests on."""

    value: float
    text: str


class JudgeProtocol(Protocol):
    """How the answers to a benchmark's items are judged."""

    @property
    def name(self) -> str:
        """What a task file calls it as `judge`."""
        ...

    @property
    def identity(self) -> object:
        """Version and words of the prompts."""
        ...

    def parameters(self, judge: Judge) -> Mapping[str, object]:
        """The part of a study's judge that bears on verdicts."""
        ...

    def calls_per_item(self, judge: Judge) -> int:
        """How many questions an item is, at most."""
        ...

    def tokens_per_call(self, judge: Judge) -> tuple[int, int]:
        """A rough number of tokens of a question and of its answer, to estimate cost from."""
        ...

    def questions(self, item: Item, answers: Sequence[str], judge: Judge) -> tuple[JudgeQuestion, ...]:
        """What to ask about the answers to an item, one answer a turn; turns that were not answered are left out."""
        ...

    def verdict(self, question: JudgeQuestion, answer: JudgeAnswer) -> Verdict | None:
        """The verdict in a judge's answer, or None where there is none to be read."""
        ...


@dataclass(frozen=True)
class Prompt:
    """A system text, and a user text with named places in braces."""

    system: str
    user: str

    def messages(self, **values: str) -> tuple[Message, ...]:
        """The prompt with its places filled; braces in what fills them stay as they are."""
        places = re.compile("|".join(rf"\{{{re.escape(name)}\}}" for name in values))
        filled = places.sub(lambda place: values[place.group()[1:-1]], self.user)
        return Message("system", self.system), Message("user", filled)


@cache
def prompts(name: str) -> Mapping[str, Prompt]:
    """The prompts of a protocol, by the names that their authors gave them."""
    content = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return {key: Prompt(**texts) for key, texts in content.items()}


def prompt_words(name: str) -> object:
    """All words of a protocol's prompts, for its identity."""
    return {key: [prompt.system, prompt.user] for key, prompt in prompts(name).items()}

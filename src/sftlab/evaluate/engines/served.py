"""The engine that asks an OpenAI-compatible completions server."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from sftlab.errors import ModelError
from sftlab.evaluate.engines.completions import (
    Answer,
    Completions,
    Offers,
    Prompt,
    RefusedError,
    T,
    likelihood_question,
    prompt_log_probabilities,
)
from sftlab.evaluate.engines.engine import EngineAbout, LikelihoodAnswers, TextAnswers, unwatched
from sftlab.lm.kept_answers import KeptAnswers, work_digest
from sftlab.lm.likelihood import Request
from sftlab.lm.request_tree import Ids
from sftlab.lm.tokenizer import BaseTokenizer
from sftlab.plan.engines import no_likelihoods

PROBE = "one two three"
NOT_AS_TEXT = "the engine takes prompts as text only, and its tokenizer reads this one otherwise"


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A model that a server holds, with its tokenizer here; `holding` is the checkpoint's label, None for a base."""

    name: str
    base_tokenizer: BaseTokenizer
    holding: str | None = None

    @property
    def context_length(self) -> int:
        """How many ids fit."""
        return self.base_tokenizer.context_length


class ServedEngine:
    """Asks one model of a server. Prompts go as token ids where the server takes them, else as text.

    Text is sent only where the tokenizer reads it as the same ids again; other items are unfit. Raises ModelError where
    the server does not complete text at all, or states another version than `about`.
    """

    def __init__(self, model: ServedModel, server: Completions, about: EngineAbout) -> None:
        self.model = model
        self.about = about
        self._server = server
        self._kept: KeptAnswers | None = None
        stated = server.version()
        if stated is not None and stated != about.version:
            raise ModelError(
                f"the engine {about.name} says that it is version {stated}, and the study says {about.version}: "
                "mend `version` in evaluation.engine"
            )
        self.offers: Offers = server.offers(model.base_tokenizer.tokenizer(PROBE).input_ids, PROBE)

    def keeping(self, kept: KeptAnswers) -> Self:
        """The same engine, which asks nothing again that is in `kept`, and keeps there what it is told."""
        engine = copy.copy(self)
        engine._kept = kept
        return engine

    def log_likelihoods(
        self, requests: Sequence[Request], *, on_progress: Callable[[float], None] = unwatched
    ) -> LikelihoodAnswers:
        """Sums over what the server says of the prompt's own tokens.

        Raises ModelError where it tells no log-probabilities of prompts.
        """
        way = self.offers.prompt_log_probabilities
        if way is None:
            raise ModelError(no_likelihoods(self.about.name))
        sequences = [np.concatenate([request.context_ids, request.continuation_ids]) for request in requests]
        starts = [len(request.context_ids) for request in requests]
        wholes = [ids.tolist() for ids in sequences]
        prompts, unfit = self._prompts(wholes)

        def read(number: int, answer: Answer) -> float:
            told = prompt_log_probabilities(answer, way, wholes[number])
            return float(sum(value for value in told[starts[number] :] if value is not None))

        work = work_digest("served-likelihood", sequences, starts)
        questions = {number: likelihood_question(prompt, way) for number, prompt in prompts.items()}
        found, refused = self._asked(work, questions, read, on_progress)
        log_likelihood = np.full(len(requests), np.nan)
        for number, value in found.items():
            log_likelihood[number] = value
        return LikelihoodAnswers(log_likelihood, unfit | refused)

    def generate(
        self,
        prompts: Sequence[Ids],
        *,
        max_new_tokens: int,
        stops: tuple[str, ...] = (),
        on_progress: Callable[[float], None] = unwatched,
    ) -> TextAnswers:
        """Greedy answers, cut before the first stop here too, for servers differ in whether they keep it."""
        stops = tuple(stop for stop in stops if stop)
        room = self.model.context_length
        sent, unfit = self._prompts([[int(token) for token in prompt] for prompt in prompts])
        questions = {
            number: {
                "prompt": prompt,
                "max_tokens": min(max_new_tokens, room - len(prompts[number])),
                "temperature": 0,
                **self._stopping(stops),
            }
            for number, prompt in sent.items()
            if len(prompts[number]) < room
        }
        work = work_digest("served-answers", prompts, max_new_tokens, stops)
        found, refused = self._asked(work, questions, lambda _, answer: _cut(answer["text"], stops), on_progress)
        texts = [found.get(number, "") for number in range(len(prompts))]
        return TextAnswers(tuple(texts), unfit | refused)

    def _asked(
        self,
        work: str,
        questions: Mapping[int, Mapping[str, object]],
        read: Callable[[int, Answer], T],
        on_progress: Callable[[float], None],
    ) -> tuple[dict[int, T], dict[int, str]]:
        """What is read from every answer, and why some were refused; what was kept of this work is not asked again."""
        kept = self._kept
        known: dict[int, T] = {} if kept is None else kept.read(work)
        asked = [number for number in questions if number not in known]

        def read_and_keep(place: int, answer: Answer) -> T:
            value = read(asked[place], answer)
            if kept is not None:
                kept.add(work, {asked[place]: value})
            return value

        try:
            found, refused = self._server.ask_all([questions[number] for number in asked], read_and_keep, on_progress)
        finally:
            if kept is not None:
                kept.flush()
        return (
            known | {asked[place]: value for place, value in found.items()},
            {asked[place]: why for place, why in refused.items()},
        )

    def _stopping(self, stops: tuple[str, ...]) -> dict[str, object]:
        if not stops:
            return {}
        special = self.model.base_tokenizer.special_tokens
        ends = [special[stop] for stop in stops if stop in special]
        named: dict[str, object] = {"stop": list(stops)}
        # Servers that take ids leave special tokens out of the text, where no stop text would be found.
        return {**named, "stop_token_ids": ends} if ends and self.offers.takes_ids else named

    def _prompts(self, all_ids: Sequence[list[int]]) -> tuple[dict[int, Prompt], dict[int, str]]:
        """What to send for each prompt, and why some cannot be sent, by place."""
        if self.offers.takes_ids:
            return dict(enumerate(all_ids)), {}
        prompts: dict[int, Prompt] = {}
        unfit: dict[int, str] = {}
        for place, ids in enumerate(all_ids):
            try:
                prompts[place] = self._tokenizer_text(ids)
            except RefusedError as error:
                unfit[place] = str(error)
        return prompts, unfit

    def _tokenizer_text(self, ids: list[int]) -> str:
        """Text that the model's own tokenizer reads as these ids. Raises RefusedError where there is none."""
        tokenizer = self.model.base_tokenizer.tokenizer
        for start in (0, 1):
            text: str = tokenizer.decode(ids[start:], skip_special_tokens=False, clean_up_tokenization_spaces=False)
            # Some tokenizers put a space in front of what they read, and tell it when they decode.
            for candidate in (text, text.removeprefix(" ")):
                if tokenizer(candidate).input_ids == ids:
                    return candidate
        raise RefusedError(NOT_AS_TEXT)


def _cut(text: str, stops: tuple[str, ...]) -> str:
    return text[: min((found for stop in stops if (found := text.find(stop)) >= 0), default=len(text))]


def about_engine(told: Mapping[str, object]) -> EngineAbout:
    """Name, version and precision, from the part of a score's identity that says which engine."""
    return EngineAbout(str(told["name"]), str(told["version"]), str(told["dtype"]))

"""The engine that comes with sftlab: the model in this process's memory."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

from sftlab.evaluate.engines.engine import EngineAbout, LikelihoodAnswers, TextAnswers, unwatched
from sftlab.lm.base import LoadedBase
from sftlab.lm.generation import Asking, generate_all
from sftlab.lm.kept_answers import KeptAnswers
from sftlab.lm.likelihood import Request, continuation_log_likelihoods
from sftlab.lm.memory import Shortage
from sftlab.lm.request_tree import Ids

CACHE_BYTES = 2**23
FEWEST_TOKENS = 2048


@dataclass(frozen=True, eq=False)
class BuiltInEngine:
    """What a base holds now, asked in batches of at most `max_batch_tokens` tokens; `kept` is to go on from.

    `written` are answers that this base has given before, by the digest of what was asked.
    """

    model: LoadedBase
    max_batch_tokens: int
    kept: KeptAnswers | None = None
    written: Mapping[str, TextAnswers] = field(default_factory=dict)

    @property
    def about(self) -> EngineAbout:
        """This package, computing as the base's precision says."""
        return EngineAbout("built-in", version("sftlab"), self.model.precision.compute)

    def log_likelihoods(
        self, requests: Sequence[Request], *, on_progress: Callable[[float], None] = unwatched
    ) -> LikelihoodAnswers:
        """See `continuation_log_likelihoods`; batches on a CPU are those of `cached_tokens`."""
        shortage = Shortage()
        found = continuation_log_likelihoods(
            self.model,
            requests,
            max_batch_tokens=cached_tokens(self.model, self.max_batch_tokens),
            on_progress=on_progress,
            shortage=shortage,
            kept=self.kept,
        )
        return LikelihoodAnswers(found.log_likelihood, _reasons(shortage), shortage.times)

    def generate(
        self,
        prompts: Sequence[Ids],
        *,
        max_new_tokens: int,
        stops: tuple[str, ...] = (),
        on_progress: Callable[[float], None] = unwatched,
    ) -> TextAnswers:
        """See `generate_greedy`; what was `written` before is not written again."""
        asked = Asking(prompts, max_new_tokens, stops)
        if asked.digest in self.written:
            return self.written[asked.digest]
        (answers,) = self.generate_all([asked], on_progress=on_progress)
        return answers

    def generate_all(
        self, asked: Sequence[Asking], *, on_progress: Callable[[float], None] = unwatched
    ) -> list[TextAnswers]:
        """Answers to several sets of prompts from one queue; how often memory ran out is told of the first set."""
        shortage = Shortage()
        texts = generate_all(
            self.model,
            asked,
            max_batch_tokens=self.max_batch_tokens,
            on_progress=on_progress,
            shortage=shortage,
            kept=self.kept,
        )
        starts = itertools.accumulate((len(one) for one in texts), initial=0)
        reasons = _reasons(shortage)
        return [
            TextAnswers(
                tuple(one),
                {place - start: reason for place, reason in reasons.items() if start <= place < start + len(one)},
                0 if number else shortage.times,
            )
            for number, (one, start) in enumerate(zip(texts, starts, strict=False))
        ]


def cached_tokens(model: LoadedBase, most: int) -> int:
    """Tokens of a pass: `most`, or on a CPU as many as whose widest activations stay in its cache.

    Reading and writing those is what a pass costs beside its matrix products: with 4 and 14 million weights 6 to 10 %
    less CPU time than with 8192 tokens, and with fewer than 1024 tokens more again.
    """
    if model.device.type != "cpu":
        return most
    stated = getattr(model.model.config.get_text_config(), "intermediate_size", None)
    width = stated if isinstance(stated, int) else 4 * int(model.model.get_input_embeddings().weight.shape[1])
    return min(most, max(FEWEST_TOKENS, CACHE_BYTES // (4 * width)))


def _reasons(shortage: Shortage) -> dict[int, str]:
    return {place: f"{tokens} tokens do not fit in memory" for place, tokens in shortage.unfit.items()}

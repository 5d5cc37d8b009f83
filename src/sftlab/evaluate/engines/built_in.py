"""The engine that comes with sftlab: the model in this process's memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from sftlab.evaluate.engines.engine import EngineAbout, LikelihoodAnswers, TextAnswers, unwatched
from sftlab.lm.base import LoadedBase
from sftlab.lm.generation import generate_greedy
from sftlab.lm.kept_answers import KeptAnswers
from sftlab.lm.likelihood import Request, continuation_log_likelihoods
from sftlab.lm.memory import Shortage
from sftlab.lm.request_tree import Ids


@dataclass(frozen=True, eq=False)
class BuiltInEngine:
    """What a base holds now, asked in batches of at most `max_batch_tokens` tokens; `kept` is to go on from."""

    model: LoadedBase
    max_batch_tokens: int
    kept: KeptAnswers | None = None

    @property
    def about(self) -> EngineAbout:
        """This package, computing as the base's precision says."""
        return EngineAbout("built-in", version("sftlab"), self.model.precision.compute)

    def log_likelihoods(
        self, requests: Sequence[Request], *, on_progress: Callable[[float], None] = unwatched
    ) -> LikelihoodAnswers:
        """See `continuation_log_likelihoods`."""
        shortage = Shortage()
        found = continuation_log_likelihoods(
            self.model,
            requests,
            max_batch_tokens=self.max_batch_tokens,
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
        """See `generate_greedy`."""
        shortage = Shortage()
        texts = generate_greedy(
            self.model,
            prompts,
            max_new_tokens=max_new_tokens,
            stops=stops,
            max_batch_tokens=self.max_batch_tokens,
            on_progress=on_progress,
            shortage=shortage,
            kept=self.kept,
        )
        return TextAnswers(tuple(texts), _reasons(shortage), shortage.times)


def _reasons(shortage: Shortage) -> dict[int, str]:
    return {place: f"{tokens} tokens do not fit in memory" for place, tokens in shortage.unfit.items()}

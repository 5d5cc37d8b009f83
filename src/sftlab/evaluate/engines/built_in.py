"""The engine that comes with sftlab: the model in this process's memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from sftlab.evaluate.engines.engine import EngineAbout, unwatched
from sftlab.lm.base import LoadedBase
from sftlab.lm.generation import generate_greedy
from sftlab.lm.likelihood import LogLikelihoods, Request, continuation_log_likelihoods
from sftlab.lm.request_tree import Ids


@dataclass(frozen=True, eq=False)
class BuiltInEngine:
    """What a base holds now, asked in batches of at most `max_batch_tokens` padded tokens."""

    model: LoadedBase
    max_batch_tokens: int

    @property
    def about(self) -> EngineAbout:
        """This package, computing as the base's precision says."""
        return EngineAbout("built-in", version("sftlab"), self.model.precision.compute)

    def log_likelihoods(
        self, requests: Sequence[Request], *, on_progress: Callable[[float], None] = unwatched
    ) -> LogLikelihoods:
        """See `continuation_log_likelihoods`."""
        return continuation_log_likelihoods(
            self.model, requests, max_batch_tokens=self.max_batch_tokens, on_progress=on_progress
        )

    def generate(
        self,
        prompts: Sequence[Ids],
        *,
        max_new_tokens: int,
        stops: tuple[str, ...] = (),
        on_progress: Callable[[float], None] = unwatched,
    ) -> list[str]:
        """See `generate_greedy`."""
        return generate_greedy(
            self.model,
            prompts,
            max_new_tokens=max_new_tokens,
            stops=stops,
            max_batch_tokens=self.max_batch_tokens,
            on_progress=on_progress,
        )

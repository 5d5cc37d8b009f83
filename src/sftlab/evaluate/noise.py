"""How far scores move when the same questions are asked in other batches: the noise of computing in bfloat16.

In float32 answers agree to 1e-5 whatever the batches, and nothing is measured.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl

from sftlab.benchmarks.item import Benchmark
from sftlab.evaluate.engines.built_in import BuiltInEngine
from sftlab.evaluate.engines.engine import Engine, EngineAbout, LikelihoodAnswers, TextAnswers, unwatched
from sftlab.evaluate.scoring import Scored, score_with
from sftlab.lm.base import LoadedBase
from sftlab.lm.likelihood import Request
from sftlab.lm.request_tree import Ids
from sftlab.study.declaration import Template

SHARE = 0.1
MOST_ITEMS = 32
KEY = ["item", "stratum", "scorer", "metric"]


@dataclass(frozen=True, eq=False)
class _OneByOne:
    """The built-in engine, every question in a pass of its own: nothing packed, padded or shared."""

    model: LoadedBase

    @property
    def about(self) -> EngineAbout:
        return BuiltInEngine(self.model, 1).about

    def log_likelihoods(
        self, requests: Sequence[Request], *, on_progress: Callable[[float], None] = unwatched
    ) -> LikelihoodAnswers:
        asked = [BuiltInEngine(self.model, 1).log_likelihoods([request]) for request in requests]
        on_progress(1.0)
        unfit = {place: one.unfit[0] for place, one in enumerate(asked) if one.unfit}
        found = [one.log_likelihood for one in asked]
        return LikelihoodAnswers(np.concatenate([np.empty(0), *found]), unfit)

    def generate(
        self,
        prompts: Sequence[Ids],
        *,
        max_new_tokens: int,
        stops: tuple[str, ...] = (),
        on_progress: Callable[[float], None] = unwatched,
    ) -> TextAnswers:
        return BuiltInEngine(self.model, 1).generate(
            prompts, max_new_tokens=max_new_tokens, stops=stops, on_progress=on_progress
        )


def measured_noise(
    engine: Engine, benchmark: Benchmark, scored: Scored, *, template: Literal["plain"] | Template
) -> Mapping[str, float]:
    """Root mean square of how much an item's score changes when it is asked alone, by `scorer/metric`.

    Measured on a tenth of the items, evenly spread, at most 32 and at least 2. A mean over n items moves by that over
    the square root of n (one standard deviation). Empty for engines other than the built-in one, whose batches are not
    ours to choose, in float32, and where fewer than two items have a score both times.
    """
    if not isinstance(engine, BuiltInEngine) or engine.model.precision.compute == "float32":
        return {}
    scorers = tuple(scorer for scorer in benchmark.scorers if scorer != "judge")
    count = min(len(benchmark.items), MOST_ITEMS, max(2, math.ceil(SHARE * len(benchmark.items))))
    if not scorers or count < 2:
        return {}
    places = np.linspace(0, len(benchmark.items) - 1, count).round().astype(int)
    some = replace(benchmark, items=tuple(benchmark.items[place] for place in places), scorers=scorers)
    alone = score_with(_OneByOne(engine.model), some, template=template)
    both = scored.rows["items"].join(
        alone.rows["items"].select(*KEY, pl.col("score").alias("alone")), on=KEY, how="inner", nulls_equal=True
    )
    change = (pl.col("score") - pl.col("alone")).pow(2).mean().sqrt()
    measured = both.drop_nulls(["score", "alone"]).group_by("scorer", "metric").agg(change.alias("rms"), n=pl.len())
    return {f"{row['scorer']}/{row['metric']}": row["rms"] for row in measured.to_dicts() if row["n"] > 1}

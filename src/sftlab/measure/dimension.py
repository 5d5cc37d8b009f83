"""Intrinsic dimension of hidden states by the ratio of two neighbours' distances (version 1 of `dimension`).

TwoNN (Facco, d'Errico, Rodriguez & Laio 2017): where points lie evenly on a manifold of dimension d, the ratio mu of
the distances to their second and first neighbour has P(mu <= m) = 1 - m^-d, so that log mu is exponential of rate d.

Legend: N = points, D = width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftlab.analyse.intervals import CONFIDENCE
from sftlab.data.probe import ProbeText
from sftlab.lm.base import LoadedBase
from sftlab.lm.encoding import encode_prompt
from sftlab.lm.hidden_states import last_token_states
from sftlab.lm.parameters import depth_of
from sftlab.lm.templates import ResolvedTemplate, render_prompt, resolve_template
from sftlab.study.declaration import Template

Reals = NDArray[np.float64]
DISCARD_FRACTION = 0.1
"""Of the largest ratios, which a manifold's edges and curvature reach first (Facco et al. 2017)."""
FEWEST_RATIOS = 10
DRAWS = 4000
CHUNK = 256
SCHEMA: dict[str, pl.DataType] = {
    "layer": pl.Int64(),
    "depth": pl.Float64(),
    "dimension": pl.Float64(),
    "se": pl.Float64(),
    "ci_low": pl.Float64(),
    "ci_high": pl.Float64(),
    "n": pl.Int64(),
    "duplicates": pl.Int64(),
    "discard_fraction": pl.Float64(),
}


@dataclass(frozen=True)
class IntrinsicDimension:
    """An estimate over `n` distinct points; `duplicates` are points equal to another, of which one each was kept.

    Null where fewer than `FEWEST_RATIOS` distinct points are left. The interval takes the ratios for independent
    draws of the law above: it says how far `n` points determine the slope, not whether the states lie on a manifold.
    """

    dimension: float | None
    se: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    duplicates: int


def twonn(points_ND: NDArray[np.floating], *, discard_fraction: float = DISCARD_FRACTION) -> IntrinsicDimension:
    """TwoNN dimension: slope through the origin of -log(1 - F) over log mu, without the largest ratios.

    Equal points are one point. The interval is exact for independent ratios: estimate over true value has a
    distribution that does not depend on the dimension, which is drawn 4,000 times.
    """
    points = np.unique(np.asarray(points_ND, dtype=np.float64), axis=0)
    duplicates = len(points_ND) - len(points)
    log_mu = np.sort(_log_ratios(points)) if len(points) >= FEWEST_RATIOS else np.zeros(0)
    kept = int(len(log_mu) * (1 - discard_fraction))
    if kept < 2 or not np.square(log_mu[:kept]).sum() > 0:
        return IntrinsicDimension(None, None, None, None, len(points), duplicates)
    value = float(_slopes(log_mu[None], kept)[0])
    ratios = _null_slopes(len(log_mu), kept)
    low, high = np.quantile(ratios, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    se = value * float(np.std(1 / ratios, ddof=1))
    return IntrinsicDimension(value, se, value / float(high), value / float(low), len(points), duplicates)


def _slopes(log_mu_RN: Reals, kept: int) -> Reals:
    """One slope for each row of ascending log-ratios."""
    n = log_mu_RN.shape[1]
    y = -np.log1p(-np.arange(1, kept + 1) / n) if kept < n else -np.log1p(-(np.arange(1, kept + 1) - 0.5) / n)
    x = log_mu_RN[:, :kept]
    slopes: Reals = (x @ y) / np.square(x).sum(axis=1)
    return slopes


@lru_cache(maxsize=64)
def _null_slopes(n: int, kept: int) -> Reals:
    """Slopes of independent ratios where the dimension is 1."""
    draws = np.random.default_rng(0).exponential(size=(DRAWS, n))
    return _slopes(np.sort(draws, axis=1), kept)


def _log_ratios(points_ND: Reals) -> Reals:
    """log(r2 / r1) of each of distinct points; distances of float64 differences, not of a Gram matrix's."""
    from scipy.spatial.distance import cdist

    found = []
    for start in range(0, len(points_ND), CHUNK):
        part = points_ND[start : start + CHUNK]
        distances = cdist(part, points_ND)
        distances[np.arange(len(part)), start + np.arange(len(part))] = np.inf
        nearest = np.partition(distances, 1, axis=1)[:, :2]
        found.append(np.log(nearest[:, 1] / nearest[:, 0]))
    return np.concatenate(found)


def dimension_by_layer(
    base: LoadedBase, texts: Sequence[ProbeText], *, template: Template | Literal["plain"], max_batch_tokens: int
) -> pl.DataFrame:
    """TwoNN dimension of each layer's output at the last prompt token, under what the base holds now.

    Each text is what a user asks, in `template` (or `plain`). Prompts longer than the context are left out, and `n`
    and `duplicates` count what is left. One row a layer, with the columns of `SCHEMA`.
    """
    form: ResolvedTemplate | Literal["plain"] = "plain"
    if template != "plain":
        form = resolve_template(template, base.tokenizer)
    prompts = [encode_prompt(base.base_tokenizer, render_prompt(text.text, form)) for text in texts]
    fitting = [ids for ids in prompts if 0 < len(ids) <= base.context_length]
    states = last_token_states(base, fitting, max_batch_tokens=max_batch_tokens)
    rows = []
    for layer, states_ND in enumerate(states):
        found = twonn(states_ND)
        rows.append(
            {
                "layer": layer,
                "depth": depth_of(layer, len(states)),
                **{name: getattr(found, name) for name in ("dimension", "se", "ci_low", "ci_high", "n", "duplicates")},
                "discard_fraction": DISCARD_FRACTION,
            }
        )
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")

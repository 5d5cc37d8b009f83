"""How many independent patterns the gains on all benchmarks follow: principal components beside their null.

Axes: N models (base x dataset), K benchmarks, C components, S permuted copies.
"""

from dataclasses import dataclass

import numpy as np

from sftlab.analyse.gain_array import GainArray
from sftlab.analyse.intervals import Reals

PERMUTED_COPIES = 500
MOST = 0.9
"""The share of variance that "most" means."""


@dataclass(frozen=True, eq=False)
class Components:
    """Principal components of gains: models x benchmarks, each base's mean taken out, benchmarks of equal variance.

    `share` is each component's share of the variance; `null` and `null_high` the mean and the 97.5 % quantile of shares
    when datasets are permuted within base, for every benchmark alone: what as many models and benchmarks give that
    share nothing. `needed` components carry 90 %; without anything shared `null_needed` would (mean, and 95 % range of
    the permuted copies). The `real` first ones carry more than the null's quantile (Horn's parallel analysis).
    `loading` (C x K): the benchmarks' weights, of unit length, the largest positive; `score` (N x C): the places of
    `models`.
    """

    benchmarks: tuple[str, ...]
    models: tuple[tuple[str, str], ...]
    share: Reals
    null: Reals
    null_high: Reals
    needed: int
    null_needed: float
    null_needed_low: int
    null_needed_high: int
    real: int
    loading: Reals
    score: Reals


def components(array: GainArray, *, seed: int = 0) -> Components | None:
    """Principal components of a gain array; None where fewer than three models or two benchmarks differ.

    Gains of one base share that base's measurement error and level: each base is centred, so that what is decomposed
    are differences between datasets.
    """
    centred_BDK = array.gain - array.gain.mean(axis=1, keepdims=True)
    spread_K = centred_BDK.std(axis=(0, 1))
    kept = np.flatnonzero(spread_K > 1e-12)
    if centred_BDK.shape[1] < 2 or centred_BDK[..., 0].size < 3 or len(kept) < 2:
        return None
    scaled_BDK = centred_BDK[:, :, kept] / spread_K[kept]
    rows_NK = scaled_BDK.reshape(-1, len(kept))
    left_NC, singular_C, loading_CK = np.linalg.svd(rows_NK, full_matrices=False)
    share_C = _shares(singular_C)
    generator = np.random.default_rng(seed)
    copies_SC = np.array([_shares(_permuted_singular(scaled_BDK, generator)) for _ in range(PERMUTED_COPIES)])
    high_C = np.quantile(copies_SC, 0.975, axis=0)
    needed_S = np.array([_needed(copy_C) for copy_C in copies_SC])
    sign_C = np.sign(loading_CK[np.arange(len(loading_CK)), np.abs(loading_CK).argmax(axis=1)])
    below = np.flatnonzero(share_C <= high_C)
    return Components(
        benchmarks=tuple(array.benchmarks[place] for place in kept),
        models=tuple((base, dataset) for base in array.bases for dataset in array.datasets),
        share=share_C,
        null=copies_SC.mean(axis=0),
        null_high=high_C,
        needed=_needed(share_C),
        null_needed=float(needed_S.mean()),
        null_needed_low=int(np.quantile(needed_S, 0.025)),
        null_needed_high=int(np.quantile(needed_S, 0.975)),
        real=int(below[0]) if len(below) else len(share_C),
        loading=loading_CK * sign_C[:, None],
        score=left_NC * singular_C * sign_C,
    )


def _permuted_singular(scaled_BDK: Reals, generator: np.random.Generator) -> Reals:
    shuffled = generator.permuted(scaled_BDK, axis=1)
    singular_C: Reals = np.linalg.svd(shuffled.reshape(-1, scaled_BDK.shape[2]), compute_uv=False)
    return singular_C


def _shares(singular_C: Reals) -> Reals:
    square_C: Reals = singular_C**2
    return square_C / float(square_C.sum())


def _needed(share_C: Reals) -> int:
    return int(np.searchsorted(np.cumsum(share_C), MOST - 1e-12) + 1)

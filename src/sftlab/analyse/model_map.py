"""Models as points: principal components of their vectors, and t-SNE of those.

Axes: N models, T texts (or benchmarks), C components.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from sftlab.analyse.intervals import Labels, Reals

Source = Literal["log-likelihoods", "scores"]
View = Literal["models", "changes"]

FEWEST_MODELS = 3
FEWEST_FOR_TSNE = 5
MOST_FOR_TSNE = 3000
MOST_FOR_STABILITY = 500
MOST_COMPONENTS = 50
LARGEST_PERPLEXITY = 30.0
NEIGHBOURS = 5


@dataclass(frozen=True, eq=False)
class ModelMap:
    """Models as points whose distances are those of their vectors.

    `source` says what the vectors hold, `view` whether they are the models themselves or what training changed in
    them. `models` names the point of each row: checkpoint, run, base, family, dataset, method, samples, seed, epoch,
    and `last`, whether it stands for its run after training. `place` (N x C) are principal components, most variance
    first, `share` (C) their shares of it. `width` counts the texts or benchmarks of each vector; `without_models` and
    `without_columns` how many models, and texts or benchmarks, a complete matrix could not keep.
    """

    source: Source
    view: View
    models: pl.DataFrame
    place: Reals
    share: Reals
    width: int
    without_models: int = 0
    without_columns: int = 0


@dataclass(frozen=True, eq=False)
class Tsne:
    """A t-SNE layout of the rows `models` of a map; `place` is N x 2.

    `neighbours_kept` is the share of each model's nearest models that are among its nearest in the layout too;
    `stability` the same between this layout and one from a random start, None where there are too many models to lay
    them out twice.
    """

    models: pl.DataFrame
    place: Reals
    perplexity: float
    neighbours_kept: float
    stability: float | None


def principal_components(vector_NT: Reals) -> tuple[Reals, Reals] | None:
    """Places of the rows along the principal components (N x C) and each component's share of the variance.

    Columns are centred. The sign of a component is that its largest loading is positive. None for fewer than
    `FEWEST_MODELS` rows, or rows that are all alike.
    """
    centred_NT = vector_NT - vector_NT.mean(axis=0)
    scale = float(np.abs(vector_NT).max(initial=0.0))
    if len(vector_NT) < FEWEST_MODELS or float(np.abs(centred_NT).max(initial=0.0)) <= 1e-9 * scale:
        return None
    left_NC, singular_C, loading_CT = np.linalg.svd(centred_NT, full_matrices=False)
    kept = singular_C > 1e-9 * singular_C[0]
    loading_CT, singular_C, left_NC = loading_CT[kept], singular_C[kept], left_NC[:, kept]
    sign_C = np.sign(loading_CT[np.arange(len(loading_CT)), np.abs(loading_CT).argmax(axis=1)])
    square_C = singular_C**2
    return left_NC * singular_C * sign_C, square_C / square_C.sum()


def tsne(shown: ModelMap, *, seed: int = 0) -> Tsne | None:
    """t-SNE (van der Maaten & Hinton 2008) of a map's models, started from its principal components.

    Perplexity is 30, or a third of the number of other models where there are fewer than ninety. On one thread and from
    one start, so that equal vectors give equal layouts. Of more than `MOST_FOR_TSNE` checkpoints only those after
    training are laid out. None where fewer than `FEWEST_FOR_TSNE` or still more than the most are left.
    """
    rows = np.arange(shown.models.height)
    if len(rows) > MOST_FOR_TSNE:
        rows = np.flatnonzero(shown.models["last"].to_numpy())
    if not FEWEST_FOR_TSNE <= len(rows) <= MOST_FOR_TSNE:
        return None
    place_NC = shown.place[rows, :MOST_COMPONENTS]
    perplexity = min(LARGEST_PERPLEXITY, (len(rows) - 1) / 3)
    place_N2 = _laid_out(place_NC, perplexity, start="pca", seed=seed)
    stability = None
    if len(rows) <= MOST_FOR_STABILITY:
        stability = neighbours_kept(place_N2, _laid_out(place_NC, perplexity, start="random", seed=seed + 1))
    models = shown.models[rows.tolist()]
    return Tsne(models, place_N2, perplexity, neighbours_kept(place_NC, place_N2), stability)


def _laid_out(place_NC: Reals, perplexity: float, *, start: Literal["pca", "random"], seed: int) -> Reals:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    init = "random" if place_NC.shape[1] < 2 else start
    layout = TSNE(perplexity=perplexity, init=init, random_state=seed)
    with threadpool_limits(limits=1):
        found: Reals = layout.fit_transform(place_NC / np.abs(place_NC).max()).astype(np.float64)
    return found


def neighbours_kept(place_NC: Reals, other_NC: Reals, *, neighbours: int = NEIGHBOURS) -> float:
    """Mean share of each point's nearest points that are among its nearest in another layout of the same points."""
    count = min(neighbours, len(place_NC) - 1)
    near, other = _nearest(place_NC, count), _nearest(other_NC, count)
    return float(np.mean([len(np.intersect1d(one, two)) / count for one, two in zip(near, other, strict=True)]))


def _nearest(place_NC: Reals, count: int) -> Labels:
    from scipy.spatial.distance import cdist

    distance_NN = cdist(place_NC, place_NC)
    np.fill_diagonal(distance_NN, np.inf)
    nearest: Labels = np.argsort(distance_NN, axis=1, kind="stable")[:, :count]
    return nearest

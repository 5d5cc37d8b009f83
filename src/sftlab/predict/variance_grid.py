"""How gains may vary together: the covariances that the mixed model averages over.

Axes: N cells (base x dataset, datasets running fastest), B bases, D datasets.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from sftlab.predict.additive import mean_of_known
from sftlab.predict.base_scores import standardised_scores
from sftlab.predict.gain_table import GainTable, Reals

WITHIN_FAMILY = 0.5
"""Correlation of the effects of two bases of one family."""
BASE_VARIANCES = (0.3, 2.0, 12.0, 300.0)
DATASET_VARIANCES = (0.0, 0.3, 2.0, 12.0, 300.0)
LIKENESS_VARIANCES = (0.5,)
"""In units of the variance of what is left of a single gain. Bases always vary: a new one is never surely average.

The largest are for tables in which level and effect leave next to nothing: a smaller one would make a new base, or new
data, look surely like the rest.
"""


@dataclass(frozen=True, eq=False)
class Covariance:
    """One way gains may vary together: covariance of cells (N x N), less what is left of single ones (variance 1)."""

    base_variance: float
    dataset_variance: float
    likeness: str | None
    of_cells: Reals


def covariances(table: GainTable) -> list[Covariance]:
    """Base effects, dataset effects, and for bases that are alike effects of a dataset that are alike.

    Alike are bases of one `family`, or those with similar `scores` of their own.
    """
    datasets = len(table.datasets)
    family_BB = _family_likeness(table)
    ones_DD, same_DD = np.ones((datasets, datasets)), np.eye(datasets)
    of_bases, of_datasets = np.kron(family_BB, ones_DD), np.kron(np.ones(family_BB.shape), same_DD)
    likenesses: list[tuple[str | None, float, Reals | None]] = [(None, 0.0, None)]
    for name, likeness_BB in (("family", family_BB), ("scores", _score_likeness(table))):
        if likeness_BB is not None and (likeness_BB - np.diag(np.diag(likeness_BB))).any():
            likenesses.extend((name, size, np.asarray(np.kron(likeness_BB, same_DD))) for size in LIKENESS_VARIANCES)
    found = []
    for base, dataset, (kind, size, alike) in product(BASE_VARIANCES, DATASET_VARIANCES, likenesses):
        of_cells = base * of_bases + dataset * of_datasets
        found.append(Covariance(base, dataset, kind, of_cells if alike is None else of_cells + size * alike))
    return found


def _family_likeness(table: GainTable) -> Reals:
    same = table.family_places[:, None] == table.family_places
    return np.where(np.eye(len(same), dtype=np.bool_), 1.0, np.where(same, WITHIN_FAMILY, 0.0))


def _score_likeness(table: GainTable) -> Reals | None:
    """Gaussian kernel on the bases' own scores, as wide as the median distance; None where they are not comparable."""
    score_BK = standardised_scores(table)
    square_BB = np.array([mean_of_known(((score_BK - row) ** 2).T) for row in score_BK])
    apart = square_BB[~np.eye(len(square_BB), dtype=np.bool_)]
    width = float(np.nanmedian(apart)) if (apart > 0).any() else 0.0
    if width <= 0:
        return None
    likeness = np.exp(-square_BB / width)
    likeness = np.where(np.isnan(likeness), 0.0, likeness)
    np.fill_diagonal(likeness, 1.0)
    return _positive(likeness)


def _positive(matrix: Reals) -> Reals:
    """The nearest matrix without negative eigenvalues, its diagonal 1: distances over unequal items may give some."""
    values, vectors = np.linalg.eigh(matrix)
    kept = (vectors * np.maximum(values, 0.0)) @ vectors.T
    scale = np.sqrt(np.diag(kept))
    return np.asarray(kept / np.outer(scale, scale))

"""95 % intervals of scores whose items hang together in clusters: questions on one passage, parts of one document.

Values are those of the items, every item weighing the same; only their uncertainty is that between clusters. Legend:
N items, C clusters.
"""

from dataclasses import replace

import numpy as np

from sftlab.analyse.intervals import (
    NORMAL_QUANTILE,
    TAIL,
    Estimate,
    Labels,
    Reals,
    VariancePart,
    bonett_price_ends,
    half_width,
    ratio,
    wilson_ends,
)


def clustered_ratio(numerator_N: Reals, denominator_N: Reals, cluster_N: Labels) -> Estimate:
    """Sum over sum, with Student's t over clusters: the linearised interval of `ratio` on their sums.

    With denominators of 1 it is the mean over items, and its standard error the cluster-robust one of a regression on a
    constant (Liang & Zeger 1986, with the correction for few clusters). `n` counts clusters.
    """
    _, place_N = np.unique(cluster_N, return_inverse=True)
    numerator_C, denominator_C = (np.bincount(place_N, weights=of_N) for of_N in (numerator_N, denominator_N))
    return ratio(numerator_C.astype(np.float64), denominator_C.astype(np.float64))


def clustered_proportion(right_N: Reals, cluster_N: Labels) -> Estimate:
    """Share of items that are right, with Wilson's interval for as many independent items as the clusters are worth.

    That number is the items over the design effect (Kish 1965; Korn & Graubard 1998 for shares), never more than there
    are items; the clusters, where all items are alike. The quantile is Student's of the clusters. `n` counts clusters.
    """
    found = clustered_ratio(right_N, np.ones(len(right_N)), cluster_N)
    worth, quantile = _worth(right_N, found)
    low, high = wilson_ends(found.value, worth, quantile)
    return replace(found, ci_low=low, ci_high=high)


def clustered_paired_proportion(change_N: Reals, cluster_N: Labels) -> Estimate:
    """Mean of changes of -1, 0 or 1, with the interval of `paired_proportion` for as many pairs as clusters are worth.

    `n` counts clusters.
    """
    found = clustered_ratio(change_N, np.ones(len(change_N)), cluster_N)
    worth, quantile = _worth(change_N, found)
    shares = float((change_N > 0).mean()), float((change_N < 0).mean())
    low, high = bonett_price_ends((shares[0] * worth, shares[1] * worth), worth, quantile)
    return replace(found, ci_low=low, ci_high=high)


def _worth(value_N: Reals, found: Estimate) -> tuple[float, float]:
    """How many independent items would know the mean as well, and the quantile of its interval."""
    items = len(value_N)
    if not found.parts:
        return 1.0, NORMAL_QUANTILE
    quantile = half_width((VariancePart(1.0, found.parts[0].df),), TAIL)
    if np.all(value_N == value_N[0]):
        return float(found.n), abs(quantile)
    alone = float(value_N.var(ddof=1)) / items
    return items / max(1.0, found.parts[0].variance / alone), abs(quantile)

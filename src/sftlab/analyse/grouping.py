"""Do points group by what their models have in common: the share of variance between groups, and its permutation test.

Axes: N models, C components, P permutations.
"""

from dataclasses import dataclass

import numpy as np

from sftlab.analyse.intervals import Labels, Reals

PERMUTATIONS = 999


@dataclass(frozen=True)
class GroupShare:
    """Share of the variance of points that lies between the means of `groups`.

    `null` and `null_high` are the mean and the 97.5 % quantile of the shares with labels permuted, `p` is how often
    those are as large; None where no permutation changes anything.
    """

    share: float
    null: float | None
    null_high: float | None
    p: float | None
    groups: int


def group_share(
    place_NC: Reals, group_N: Labels, block_N: Labels, *, permutations: int = PERMUTATIONS, seed: int = 0
) -> GroupShare | None:
    """Share of variance between groups, tested by permuting the labels within blocks alone (Anderson 2001).

    Blocks are what must not count: to ask whether models group by dataset, labels are permuted within base. None where
    there is one group, or all points are alike.
    """
    groups = len(np.unique(group_N))
    centred_NC = place_NC - place_NC.mean(axis=0)
    product_NN = centred_NC @ centred_NC.T
    total = float(np.trace(product_NN))
    if groups < 2 or total <= 0:
        return None
    observed = float(_between(product_NN, group_N[None])[0]) / total
    blocks = [np.flatnonzero(block_N == block) for block in np.unique(block_N)]
    mixed = [block for block in blocks if len(np.unique(group_N[block])) > 1]
    if not mixed:
        return GroupShare(observed, None, None, None, groups)
    generator = np.random.default_rng(seed)
    group_PN = np.tile(group_N, (permutations, 1))
    for block in mixed:
        group_PN[:, block] = generator.permuted(group_PN[:, block], axis=1)
    share_P = _between(product_NN, group_PN) / total
    p = (1 + int((share_P >= observed - 1e-12).sum())) / (1 + permutations)
    return GroupShare(observed, float(share_P.mean()), float(np.quantile(share_P, 0.975)), p, groups)


def _between(product_NN: Reals, group_PN: Labels) -> Reals:
    """Sum of squares between group means for each row of labels, from the products of points centred over all."""
    between_P = np.zeros(len(group_PN))
    for group in np.unique(group_PN):
        member_PN = (group_PN == group).astype(np.float64)
        between_P += ((member_PN @ product_NN) * member_PN).sum(axis=1) / member_PN.sum(axis=1)
    return between_P

"""What a design will be able to see before anything ran, from how many of everything there are and typical spreads."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sftlab.analyse.gain_sets import GainSet
from sftlab.analyse.intervals import VariancePart
from sftlab.analyse.metrics import Metric
from sftlab.analyse.power import smallest_effect
from sftlab.analyse.verdicts import LEVEL

SHARED = 0.5
"""Of the variance over items of what parts two models, the share that is the same for all bases."""


@dataclass(frozen=True)
class Spread:
    """Standard deviations of gains in one metric, in its own unit.

    `interaction`: of the gain of a family from a dataset, beyond what the family gains from all datasets and all
    families from the dataset; `seed`: between seeds; `item`: over items, of the difference between two models that one
    base became on two datasets, `shared` of whose variance all bases have in common. `source` says whence they are.
    """

    interaction: float
    seed: float
    item: float
    shared: float
    source: str


TYPICAL_SHARE = Spread(0.06, 0.01, 0.45, SHARED, "typical")
"""Of shares of items: the interaction is the median of the 20 settings of the published results that are shares (half
of them lie between 0.04 and 0.10, item and seed noise in it); the items are those of models that differ on one in five.
"""
TYPICAL_BITS = Spread(0.1, 0.02, 0.5, SHARED, "typical")
"""Of bits per byte: what the built-in pocket bases show, rounded."""


def typical_spread(metric: Metric) -> Spread | None:
    """Typical spreads of a metric; None of one that has no typical ones."""
    if metric.share:
        return TYPICAL_SHARE
    if metric.pooled:
        return TYPICAL_BITS
    if metric.bounds is not None:
        width = metric.bounds[1] - metric.bounds[0]
        return replace(TYPICAL_SHARE, interaction=0.06 * width, seed=0.01 * width, item=0.2 * width)
    return None


@dataclass(frozen=True)
class Design:
    """How many of everything: `bases` of each family, `recipes` that all datasets are tried with, items a benchmark."""

    families: int
    bases: int
    datasets: int
    recipes: int
    seeds: int
    items: int

    @property
    def pairs(self) -> int:
        """Pairs of datasets."""
        return self.datasets * (self.datasets - 1) // 2


def smallest_difference(design: Design, spread: Spread, *, new_bases: bool, questions: int) -> float | None:
    """The smallest difference between two datasets' mean gains that `comparisons` finds in four of five studies.

    For new bases like these: the spread of families and the choice of items; for the bases tried: items and, where they
    are repeated, seeds. None where the design has no interval for it.
    """
    runs = design.bases * design.recipes * design.seeds
    all_runs = runs * design.families
    own, shared = spread.item**2 * (1 - spread.shared), spread.item**2 * spread.shared
    if design.items < 2 or design.datasets < 2:
        return None
    of_items = VariancePart((shared + own / all_runs) / design.items, design.items - 1)
    level = LEVEL / questions
    if not new_bases:
        seeds = VariancePart(2 * spread.seed**2 / all_runs, (design.seeds - 1) * design.datasets * all_runs)
        return smallest_effect([of_items, seeds] if design.seeds > 1 else [of_items], level=level)
    if design.families < 2:
        return None
    of_family = 2 * spread.interaction**2 + (2 * spread.seed**2 + own / design.items) / runs
    between = VariancePart(of_family / design.families, design.families - 1)
    variance = between.variance + shared / design.items
    return smallest_effect([between, of_items], level=level, variance=variance)


def smallest_choice(design: Design, spread: Spread, *, questions: int) -> float | None:
    """The smallest difference between two levels of a training choice, such as LoRA and full, that is found so.

    What a level brings is taken to differ between families, and between datasets, by half the interaction's standard
    deviation each. `recipes` counts those that have both levels.
    """
    cells, runs = design.families * design.datasets, design.bases * design.seeds
    if design.items < 2:
        return None
    own, shared = spread.item**2 * (1 - spread.shared), spread.item**2 * spread.shared
    of_items = VariancePart((shared + own / (runs * cells)) / design.items, design.items - 1)
    residual = 2 * spread.interaction**2 + (2 * spread.seed**2 + own / design.items) / runs
    if cells == 1:
        return smallest_effect([of_items], level=LEVEL / questions)
    between = _over_cells(design, residual=residual, factor=(spread.interaction / 2) ** 2)
    variance = between.variance + shared / design.items
    return smallest_effect([between, of_items], level=LEVEL / questions, variance=variance)


def _over_cells(design: Design, *, residual: float, factor: float) -> VariancePart:
    """Variance of a mean over family x dataset cells, each factor adding its own, and the df of `two_way_mean`."""
    families, datasets = design.families, design.datasets
    cells = families * datasets
    if min(families, datasets) == 1:
        return VariancePart((residual + factor) / cells, cells - 1)
    of_families, of_datasets = residual + datasets * factor, residual + families * factor
    total = of_families + of_datasets - residual
    squares = of_families**2 / (families - 1) + of_datasets**2 / (datasets - 1)
    squares += residual**2 / ((families - 1) * (datasets - 1))
    return VariancePart(total / cells, max(min(families, datasets) - 1, total**2 / squares))


def observed_spread(gain_set: GainSet, typical: Spread) -> Spread | None:
    """The spreads of gains that are there already; None unless two units were trained on two datasets in common.

    Of the largest complete array of units x datasets. What cannot be told (seeds that were not repeated, items that
    are not known) is `typical`.
    """
    of_cell = [
        [
            np.flatnonzero(gain_set.rows["dataset"].eq(name).to_numpy() & (gain_set.units == unit))
            for name in gain_set.rankable
        ]
        for unit in np.unique(gain_set.units)
    ]
    of_cell = [cells for cells in of_cell if all(len(runs) for runs in cells)]
    if len(of_cell) < 2 or len(of_cell[0]) < 2:
        return None
    runs = float(np.mean([len(cell) for cells in of_cell for cell in cells]))
    own, shared, items = _item_variances(gain_set, of_cell, runs)
    if items == 0:
        own, shared = typical.item**2 * (1 - typical.shared), typical.item**2 * typical.shared
    of_items = own / 2 / items if items else 0.0
    seed_square, seed_df = gain_set.seed_variance
    seed_square = max(0.0, seed_square - of_items) if seed_df else typical.seed**2
    gain_FD = np.array([[gain_set.gains[cell].mean() for cell in cells] for cells in of_cell])
    interaction_square = max(0.0, _interaction_variance(gain_FD) - (seed_square + of_items) / runs)
    total = own + shared
    return Spread(
        interaction=interaction_square**0.5,
        seed=seed_square**0.5,
        item=total**0.5,
        shared=shared / total if total > 0 else typical.shared,
        source="as seen so far",
    )


def _interaction_variance(value_FD: NDArray[np.float64]) -> float:
    """Mean square of what rows and columns leave."""
    rest_FD = value_FD - value_FD.mean(axis=0) - value_FD.mean(axis=1, keepdims=True) + value_FD.mean()
    return float(np.square(rest_FD).sum() / ((value_FD.shape[0] - 1) * (value_FD.shape[1] - 1)))


def _item_variances(gain_set: GainSet, of_cell: list[list[NDArray[np.intp]]], runs: float) -> tuple[float, float, int]:
    """Variance over items of the difference of two datasets: of single runs' own, and shared by units; and the items.

    No items where any run lacks those that another has.
    """
    if gain_set.pull is None:
        return 0.0, 0.0, 0
    used = np.concatenate([cell for cells in of_cell for cell in cells])
    known_I = ~np.isnan(gain_set.pull[used]).any(axis=0)
    items = int(known_I.sum())
    if items < 2:
        return 0.0, 0.0, 0
    pull_FDI = np.array([[gain_set.pull[cell][:, known_I].mean(axis=0) for cell in cells] for cells in of_cell])
    pull_FDI = (pull_FDI - pull_FDI.mean(axis=1, keepdims=True)).astype(np.float64)
    families, datasets = pull_FDI.shape[:2]
    square = float((pull_FDI**2).sum())
    common = (float((pull_FDI.sum(axis=0) ** 2).sum()) - square) / (families - 1)
    common = min(max(common, 0.0), square)
    unit = 2 * items / (families * (datasets - 1))
    return (square - common) * unit * runs, common * unit, items

"""The gains of a study as one complete array, from which the questions of synergy are answered.

Axes: B bases, D datasets, K benchmarks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sftlab.analyse.gain_sets import GainSet
from sftlab.analyse.intervals import Reals
from sftlab.analyse.properties import Sources, dataset_units

Factor = Literal["base", "dataset", "benchmark"]
FACTOR_AXES: tuple[Factor, ...] = ("base", "dataset", "benchmark")


@dataclass(frozen=True, eq=False)
class GainArray:
    """Gain of every base after every dataset on every benchmark, in standard deviations of the benchmark's gains.

    `gain` is B x D x K, and so is `noise`, the sampling variance (items and seeds) of each gain in the same unit, None
    where it is not known. `left_out` names levels that a complete array could not keep.
    """

    bases: tuple[str, ...]
    families: tuple[str, ...]
    datasets: tuple[str, ...]
    benchmarks: tuple[str, ...]
    gain: NDArray[np.float64]
    noise: NDArray[np.float64] | None = None
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert self.gain.shape == (len(self.bases), len(self.datasets), len(self.benchmarks))
        assert len(self.families) == len(self.bases)
        assert not np.isnan(self.gain).any()

    def levels(self, factor: Factor) -> tuple[str, ...]:
        """The names along one axis."""
        return {"base": self.bases, "dataset": self.datasets, "benchmark": self.benchmarks}[factor]

    def by_family(self) -> "GainArray":
        """One entry a family: the mean over its bases, which are no independent samples."""
        names = tuple(dict.fromkeys(self.families))
        if len(names) == len(self.bases):
            return replace(self, bases=names, families=names)
        member_FB = np.array([[float(family == name) for family in self.families] for name in names])
        member_FB /= member_FB.sum(axis=1, keepdims=True)
        gain = np.einsum("fb,bdk->fdk", member_FB, self.gain)
        noise = None if self.noise is None else np.einsum("fb,bdk->fdk", member_FB**2, self.noise)
        return replace(self, bases=names, families=names, gain=gain, noise=noise)


def gain_array(sets: Sequence[GainSet], sources: Sources | None = None) -> GainArray | None:
    """The largest complete array of main-metric gains that leaving out single levels leads to; None where none is left.

    Gains are the means over recipes that every dataset was tried with (of means over seeds). Mixtures of datasets that
    were tried alone are left out: they are no datasets of their own. Level by level, the one with the largest share of
    missing cells goes, so that what is left is complete. Benchmarks on which no gain differs are left out as well.
    """
    main = [one for one in sets if one.main]
    cells = {
        (base, dataset, one.key[0]): cell for one in main for (base, dataset), cell in comparable_cells(one).items()
    }
    families = {row["base"]: row["family"] for one in main for row in one.rows.select("base", "family").to_dicts()}
    bases = tuple(dict.fromkeys(base for base, _, _ in cells))
    names = tuple(dict.fromkeys(dataset for _, dataset, _ in cells))
    units = dataset_units(names, sources or {})
    datasets = tuple(name for name in names if name in units)
    benchmarks = tuple(dict.fromkeys(benchmark for _, _, benchmark in cells))
    value = np.full((len(bases), len(datasets), len(benchmarks), 2), np.nan)
    for b, base in enumerate(bases):
        for d, dataset in enumerate(datasets):
            for k, benchmark in enumerate(benchmarks):
                value[b, d, k] = cells.get((base, dataset, benchmark), (np.nan, np.nan))
    first, second, third = complete_places(~np.isnan(value[..., 0]))
    kept = (first, second, third)
    spread_K = np.array([_spread(value[np.ix_(kept[0], kept[1], [k])][..., 0]) for k in kept[2]])
    kept = (kept[0], kept[1], [k for k, spread in zip(kept[2], spread_K, strict=True) if spread > 0])
    if min(map(len, kept)) == 0:
        return None
    scale_K = spread_K[spread_K > 0]
    inside = value[np.ix_(*kept)]
    axes = (bases, datasets, benchmarks)
    named = [tuple(axis[place] for place in places) for axis, places in zip(axes, kept, strict=True)]
    gone = [level for axis, levels in zip(axes, named, strict=True) for level in axis if level not in levels]
    noise = inside[..., 1] / scale_K**2
    return GainArray(
        bases=named[0],
        families=tuple(families[base] for base in named[0]),
        datasets=named[1],
        benchmarks=named[2],
        gain=inside[..., 0] / scale_K,
        noise=None if np.isnan(noise).any() else noise,
        left_out=tuple(gone),
    )


def comparable_cells(one: GainSet) -> dict[tuple[str, str], tuple[float, float]]:
    """Gain of each base x dataset cell over the recipes that all datasets share, and its sampling variance.

    The variance (over items and seeds) is NaN where it is not known.
    """
    names = one.rows.select("base", "dataset")
    found = {}
    for base, dataset in names.unique(maintain_order=True).iter_rows():
        is_cell = ((names["base"] == base) & (names["dataset"] == dataset)).to_numpy()
        mask_R = is_cell & one.common_recipes
        if mask_R.any():
            estimate = one.of_these_bases(one.weights(mask_R))
            found[base, dataset] = (estimate.value, np.nan if estimate.se is None else estimate.se**2)
    return found


def _spread(gain: Reals) -> float:
    """Standard deviation, exactly 0 where all values are equal."""
    return float(gain.std()) if gain.size and np.ptp(gain) > 0 else 0.0


def complete_places(known: NDArray[np.bool_]) -> list[list[int]]:
    """Places along each axis between which no cell is missing: the one with the largest missing share goes first."""
    kept = [list(range(size)) for size in known.shape]
    while True:
        inside = known[np.ix_(*kept)]
        if inside.size == 0 or inside.all():
            return kept
        axes = range(known.ndim)
        shares = [1 - inside.mean(axis=tuple(other for other in axes if other != axis)) for axis in axes]
        worst = max(axes, key=lambda axis: float(shares[axis].max()))
        del kept[worst][int(shares[worst].argmax())]

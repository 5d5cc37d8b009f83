"""What predictors see: the gain of every base after every dataset on every benchmark, as far as it is known.

Axes: B bases, D datasets, K benchmarks, F families of bases. NaN is a gain, score or property that is not known.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftlab.analyse.gain_array import comparable_cells
from sftlab.analyse.gain_sets import GainSet
from sftlab.analyse.metrics import metric_named
from sftlab.analyse.properties import NO_MIXTURES, Sources, dataset_units, property_values
from sftlab.analyse.wording import counted, listed_briefly
from sftlab.predict.additive import additive_fit

Reals = NDArray[np.float64]
Mask = NDArray[np.bool_]
Cell = tuple[str, str, str]


@dataclass(frozen=True)
class Scale:
    """The metric that a benchmark's gains are in."""

    benchmark: str
    scorer: str
    metric: str

    @property
    def unit(self) -> str:
        """What a gain of 1 is."""
        return metric_named(self.metric).unit

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The least and the greatest gain there can be, where there are any."""
        limits = metric_named(self.metric).range
        return None if limits is None else (limits[0] - limits[1], limits[1] - limits[0])


@dataclass(frozen=True, eq=False)
class GainTable:
    """Gains in main metrics, by base, dataset and benchmark, with what is known of bases and datasets beside them.

    `gain` is B x D x K, and so is `noise`, the sampling variance (items and seeds) of each gain. `base_score` is B x K,
    better upwards. `properties` are B x D x K by name; those that belong to no benchmark are the same for all K.
    `units` names the independent dataset that each dataset counts as: mixtures that share a part are one. `withheld`
    names the cells (base, dataset, benchmark) that were tried, but of which the audit leaves all gains out. `notes`
    says what of a study is not in the table.
    """

    bases: tuple[str, ...]
    families: tuple[str, ...]
    datasets: tuple[str, ...]
    units: tuple[str, ...]
    scales: tuple[Scale, ...]
    gain: Reals
    noise: Reals
    base_score: Reals
    properties: Mapping[str, Reals] = field(default_factory=dict)
    withheld: frozenset[Cell] = frozenset()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = (len(self.bases), len(self.datasets), len(self.scales))
        assert self.gain.shape == self.noise.shape == shape
        assert self.base_score.shape == (shape[0], shape[2])
        assert len(self.families) == shape[0]
        assert len(self.units) == shape[1]
        assert all(values.shape == shape for values in self.properties.values())

    @cached_property
    def known(self) -> Mask:
        """Which gains are known, B x D x K."""
        return np.asarray(~np.isnan(self.gain), dtype=np.bool_)

    @cached_property
    def family_places(self) -> NDArray[np.int64]:
        """Which family each base is of."""
        names = list(dict.fromkeys(self.families))
        return np.array([names.index(family) for family in self.families], dtype=np.int64)

    @property
    def family_noun(self) -> str:
        """What is left out together for a new base: a base family, or a base where each is its own."""
        return "base" if self.families == self.bases else "base family"

    @property
    def num_families(self) -> int:
        """How many families the bases are of."""
        return len(set(self.families))

    @cached_property
    def tried_families(self) -> tuple[str, ...]:
        """Families with a base that has a known gain."""
        tried_B: Mask = np.asarray(self.known.any(axis=(1, 2)))
        return tuple(dict.fromkeys(family for family, tried in zip(self.families, tried_B, strict=True) if tried))

    @cached_property
    def tried_units(self) -> tuple[str, ...]:
        """Independent datasets after which some gain is known."""
        tried_D: Mask = np.asarray(self.known.any(axis=(0, 2)))
        return tuple(dict.fromkeys(unit for unit, tried in zip(self.units, tried_D, strict=True) if tried))

    def without(self, cells_BD: Mask) -> "GainTable":
        """The same table with the gains of some base x dataset cells unknown on every benchmark, and their noise."""
        gain, noise = self.gain.copy(), self.noise.copy()
        gain[cells_BD] = np.nan
        noise[cells_BD] = np.nan
        return replace(self, gain=gain, noise=noise)

    def of_bases(self, keep_B: Mask) -> "GainTable":
        """The same table with some of its bases alone."""
        return replace(
            self,
            bases=tuple(base for base, keep in zip(self.bases, keep_B, strict=True) if keep),
            families=tuple(family for family, keep in zip(self.families, keep_B, strict=True) if keep),
            gain=self.gain[keep_B],
            noise=self.noise[keep_B],
            base_score=self.base_score[keep_B],
            properties={name: values[keep_B] for name, values in self.properties.items()},
        )


def gain_table(
    sets: Sequence[GainSet],
    scores: pl.DataFrame,
    data: pl.DataFrame,
    *,
    sources: Sources = NO_MIXTURES,
    unaudited: pl.DataFrame | None = None,
) -> GainTable:
    """The gains of a study in main metrics, with the bases and datasets that it names and has not tried yet.

    `sets` are the gains (of `gain_sets`), `scores` and `data` the tables, `unaudited` the scores with those that the
    audit excludes. A gain is that over the recipes that every
    dataset was tried with (see `gains_alike`). Mixtures of datasets that were tried alone are left out: they are no
    datasets of their own. Where all bases are of one family each base counts as its own.
    """
    main = [one for one in sets if one.main]
    families = dict(scores.select("base", "family").unique(maintain_order=True).iter_rows())
    if len(set(families.values())) < 2:
        families = {base: base for base in families}
    bases = tuple(families)
    named = scores.filter(pl.col("dataset") != "none")["dataset"].unique(maintain_order=True).to_list()
    units = dataset_units(named, sources)
    axes = (bases, tuple(units), tuple(Scale(*one.key) for one in main))
    gain, noise = _gains(main, axes)
    withheld = frozenset[Cell]() if unaudited is None else _withheld(unaudited, axes, ~np.isnan(gain))
    return GainTable(
        bases=bases,
        families=tuple(families.values()),
        datasets=tuple(units),
        units=tuple(units.values()),
        scales=axes[2],
        gain=gain,
        noise=noise,
        base_score=_base_scores(scores, axes),
        properties=_properties(data, axes),
        withheld=withheld,
        notes=(*_notes(main, tuple(name for name in named if name not in units), axes[1]), *_audit_note(withheld)),
    )


def _notes(sets: Sequence[GainSet], mixtures: tuple[str, ...], datasets: tuple[str, ...]) -> Iterator[str]:
    """What is left out and why, in sentences."""
    if mixtures:
        yield f"Mixtures of datasets that are tried alone are not told: {listed_briefly(mixtures)}."
    for one in sets:
        apart = [name for name in one.rows["dataset"].unique(maintain_order=True) if name not in one.rankable]
        if apart := [name for name in apart if name in datasets]:
            why = "no recipe was tried with these and the others alike"
            yield f"On {one.key[0]} gains of {listed_briefly(apart)} count as unknown: {why}."


def _audit_note(withheld: Collection[Cell]) -> Iterator[str]:
    """What was tried although it counts as unknown."""
    if withheld:
        bases = listed_briefly(sorted({base for base, _, _ in withheld}))
        cells = f"{counted(len(withheld), 'gain')} of cells that were tried (of {bases})"
        yield f"The audit leaves out {cells}: these are told as if not tried, but never put next (`sftlab audit`)."


Axes = tuple[tuple[str, ...], tuple[str, ...], tuple[Scale, ...]]


def _gains(sets: Sequence[GainSet], axes: Axes) -> tuple[Reals, Reals]:
    both = np.full((*map(len, axes), 2), np.nan)
    base_at, dataset_at = _places(axes[0]), _places(axes[1])
    for k, one in enumerate(sets):
        alike = gains_alike(one)
        for (base, dataset), (_, variance) in comparable_cells(one).items():
            if dataset in dataset_at:
                both[base_at[base], dataset_at[dataset], k] = alike[base, dataset], variance
    return both[..., 0], both[..., 1]


def _withheld(unaudited: pl.DataFrame, axes: Axes, known: Mask) -> frozenset[Cell]:
    """Cells of the axes without a known gain that have one in the table `scores` before its audit."""
    tried = unaudited.filter(pl.col("run").is_not_null() & pl.col("gain").is_not_null())
    base_at, dataset_at = _places(axes[0]), _places(axes[1])
    scale_at = {scale: k for k, scale in enumerate(axes[2])}
    found = tried.select("base", "dataset", "benchmark", "scorer", "metric").unique()
    return frozenset(
        (base, dataset, scale[0])
        for base, dataset, *scale in found.iter_rows()
        if dataset in dataset_at
        and (place := scale_at.get(Scale(*scale))) is not None
        and not known[base_at[base], dataset_at[dataset], place]
    )


def gains_alike(one: GainSet) -> dict[tuple[str, str], float]:
    """Gain of each base x dataset cell over the recipes that all datasets share, as if each had been run with all.

    In a study that is half done some cells have recipes that others still lack. A cell is the level that is left of its
    gains when the least-squares effects of recipes on its base are taken out; where all cells of a base have the same
    recipes it is their plain mean.
    """
    rows = one.rows.select("base", "dataset", "gain").with_columns(recipe=pl.Series(one.recipes))
    means = rows.filter(pl.Series(one.common_recipes)).group_by("base", "dataset", "recipe", maintain_order=True).mean()
    found: dict[tuple[str, str], float] = {}
    for (base,), of_base in means.partition_by("base", as_dict=True, maintain_order=True).items():
        names, recipes = (of_base[column].unique(maintain_order=True).to_list() for column in ("dataset", "recipe"))
        gain_RD = np.full((len(names), len(recipes), 1), np.nan)
        for dataset, gain, recipe in of_base.select("dataset", "gain", "recipe").iter_rows():
            gain_RD[names.index(dataset), recipes.index(recipe)] = gain
        levels = additive_fit(gain_RD).level[:, 0]
        found.update({(str(base), name): float(level) for name, level in zip(names, levels, strict=True)})
    return found


def _base_scores(scores: pl.DataFrame, axes: Axes) -> Reals:
    """Mean score of every base itself, with its sign turned where less is better."""
    known = scores.filter((pl.col("dataset") == "none") & pl.col("value").is_not_null())
    means = known.group_by("base", "benchmark", "scorer", "metric").agg(pl.col("value").mean())
    found_BK = np.full((len(axes[0]), len(axes[2])), np.nan)
    base_at, scale_at = _places(axes[0]), {scale: k for k, scale in enumerate(axes[2])}
    for base, benchmark, scorer, metric, value in means.iter_rows():
        place = scale_at.get(Scale(benchmark, scorer, metric))
        if place is not None:
            found_BK[base_at[base], place] = value if metric_named(metric).higher_is_better else -value
    return found_BK


def _properties(data: pl.DataFrame, axes: Axes) -> dict[str, Reals]:
    base_at, dataset_at = _places(axes[0]), _places(axes[1])
    found: dict[str, Reals] = {}
    for row in property_values(data).iter_rows(named=True):
        if row["base"] not in base_at or row["dataset"] not in dataset_at:
            continue
        values = found.setdefault(row["property"], np.full(tuple(map(len, axes)), np.nan))
        beside = [k for k, scale in enumerate(axes[2]) if row["beside"] in (None, scale.benchmark)]
        values[base_at[row["base"]], dataset_at[row["dataset"]], beside] = row["value"]
    return found


def _places(names: Collection[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names)}

"""The gains of all runs on one benchmark in one metric, and the two ways of generalising from them.

Axes: R runs, I items (clusters of them, where they share a passage), U units. A unit is a family of bases (a base,
where all are of one family).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftlab.analyse.intervals import Estimate, Labels, Reals, VariancePart, combined, mean
from sftlab.analyse.item_scores import batches, item_rows, paired_rows, right_or_wrong, score_groups
from sftlab.analyse.metrics import metric_named
from sftlab.store import Store
from sftlab.study.cells import Cells

FACTORS = ("method", "learning_rate", "batch_size", "samples", "schedule", "epochs", "fixed_steps")
MetricKey = tuple[str, str, str]


@dataclass(frozen=True)
class Influence:
    """How much each item pulls on each run's gain: the linearised influence, NaN for items that a run does not have.

    Items that share a passage pull together: I counts their clusters, and items that stand alone.

    The sampling variance of any weighted sum of gains is the sum over items of the squared weighted sum of influences:
    one matrix serves single models, means over seeds, and differences of datasets, all paired by item.
    """

    runs: tuple[str, ...]
    pull: NDArray[np.float32]
    binary: bool


def item_influences(cells: Cells, store: Store) -> dict[MetricKey, Influence]:
    """Influences of every item on the gain of every run after its last epoch, by benchmark, scorer and metric."""
    epochs: dict[str | None, int] = {}
    for score in cells.scores:
        epochs[score.run] = max(score.epoch, epochs.get(score.run, 0))
    collected: dict[MetricKey, InfluenceRows] = {}
    for group in score_groups(cells):
        if group.base is None:
            continue
        base = item_rows([group.base], store)
        last = [cell for cell in group.tuned if cell.run is not None and cell.epoch == epochs[cell.run]]
        for portion in batches(last):
            paired = paired_rows(item_rows(portion, store), base)
            runs = [str(cell.run) for cell in portion]
            for part, rows in paired.partition_by("scorer", "metric", as_dict=True).items():
                key = (group.base.benchmark.name, str(part[0]), str(part[1]))
                collected.setdefault(key, InfluenceRows()).add(runs, rows)
    return {key: found.influence() for key, found in collected.items()}


class InfluenceRows:
    """Blocks of rows of one influence matrix, before all items are known."""

    def __init__(self) -> None:
        self._places: dict[tuple[str | None, ...], int] = {}
        self._runs: list[str] = []
        self._blocks: list[tuple[Labels, NDArray[np.float32]]] = []
        self._binary = True

    def add(self, runs: Sequence[str], rows: pl.DataFrame) -> None:
        """The items of some runs' gains (rows of `paired_rows` in one metric); `cell` is a place in `runs`."""
        self._binary &= right_or_wrong(rows["tuned"].to_numpy()) and right_or_wrong(rows["base"].to_numpy())
        cells, run_N = np.unique(rows["cell"].to_numpy(), return_inverse=True)
        column_N, place_I = self._columns(rows)
        numerator_N, weight_N = rows["numerator"].to_numpy(), rows["weight"].to_numpy()
        numerator_R, weight_R = (np.bincount(run_N, weights=value_N) for value_N in (numerator_N, weight_N))
        influence_N = (numerator_N - (numerator_R / weight_R)[run_N] * weight_N) / weight_R[run_N]
        at_N, shape = run_N * len(place_I) + column_N, (len(cells), len(place_I))
        pull_RI = np.bincount(at_N, weights=influence_N, minlength=len(cells) * len(place_I)).astype(np.float32)
        pull_RI[np.bincount(at_N, minlength=len(pull_RI)) == 0] = np.nan
        self._runs.extend(runs[cell] for cell in cells)
        self._blocks.append((place_I, pull_RI.reshape(shape)))

    def _columns(self, rows: pl.DataFrame) -> tuple[Labels, Labels]:
        """Which of the rows' own items (clusters, where they share one) each row is of, and where these stand."""
        alone = pl.col("cluster").is_null()
        name = pl.struct("cluster", *(pl.when(alone).then(pl.col(column)) for column in ("item", "stratum")))
        coded = rows.select(name.alias("name")).with_columns(code=pl.col("name").rank("dense").cast(pl.Int64()) - 1)
        distinct = coded.unique("code").sort("code")["name"].struct.unnest()
        place_I = [self._places.setdefault(item, len(self._places)) for item in distinct.iter_rows()]
        return coded["code"].to_numpy(), np.array(place_I, dtype=np.int64)

    def influence(self) -> Influence:
        """The matrix of all runs, NaN where a run does not have an item."""
        influence_RI = np.full((len(self._runs), len(self._places)), np.nan, dtype=np.float32)
        first = 0
        for place_I, pull_RI in self._blocks:
            influence_RI[first : first + len(pull_RI), place_I] = pull_RI
            first += len(pull_RI)
        return Influence(tuple(self._runs), influence_RI, self._binary)


@dataclass(frozen=True, eq=False)
class GainSet:
    """Gains of runs in one metric. `rows` has one row a run: base, family, dataset, the factors, `gain`.

    `pull` (R x I, see `Influence`) is None where no items are known: intervals then leave the choice of items out.
    """

    key: MetricKey
    main: bool
    rows: pl.DataFrame
    pull: NDArray[np.float32] | None = None
    binary: bool = False

    @cached_property
    def gains(self) -> Reals:
        """Gain of every run."""
        return self.rows["gain"].to_numpy()

    @cached_property
    def units(self) -> Labels:
        """Which family (or base, where there is one family) every run belongs to."""
        return codes(self.rows, "family" if self.rows["family"].n_unique() > 1 else "base")

    @cached_property
    def unit_name(self) -> str:
        """What the units are, for sentences."""
        return "base family" if self.rows["family"].n_unique() > 1 else "base"

    @cached_property
    def bases(self) -> Labels:
        """Which base every run started from."""
        return codes(self.rows, "base")

    @cached_property
    def blocks(self) -> Labels:
        """Base and recipe of every run, whatever its dataset and seed: runs that may be compared."""
        return codes(self.rows, "base", *FACTORS)

    @cached_property
    def recipes(self) -> Labels:
        """Recipe of every run, whatever its base, dataset and seed."""
        return codes(self.rows, *FACTORS)

    @cached_property
    def rankable(self) -> tuple[str, ...]:
        """Datasets that were tried with a recipe in common, so that they may be ranked, in the order of the study.

        All, if they share one; else the most that any one recipe was tried with; none, where those are fewer than two.
        """
        tried = self._recipes_by_dataset
        if set.intersection(*tried.values()):
            return tuple(tried)
        recipes = sorted(set[int]().union(*tried.values()), key=lambda recipe: -int((self.recipes == recipe).sum()))
        most = max(recipes, key=lambda recipe: sum(recipe in of_dataset for of_dataset in tried.values()))
        alike = tuple(name for name, of_dataset in tried.items() if most in of_dataset)
        return alike if len(alike) > 1 else ()

    @cached_property
    def common_recipes(self) -> NDArray[np.bool_]:
        """Which runs are of datasets that may be ranked, with a recipe that all of those were tried with."""
        if not self.rankable:
            return np.zeros(self.rows.height, dtype=np.bool_)
        shared = set.intersection(*(self._recipes_by_dataset[name] for name in self.rankable))
        of_ranked = self.rows["dataset"].is_in(self.rankable).to_numpy()
        return of_ranked & np.isin(self.recipes, sorted(shared))

    @cached_property
    def tried_alike(self) -> bool:
        """Whether all datasets that may be ranked were tried on the same bases with their common recipes."""
        names = self.rows["dataset"]
        tried = {
            frozenset(self.blocks[names.eq(name).to_numpy() & self.common_recipes].tolist()) for name in self.rankable
        }
        return len(tried) <= 1

    @cached_property
    def _recipes_by_dataset(self) -> dict[str, set[int]]:
        names = self.rows["dataset"]
        return {
            name: set(self.recipes[names.eq(name).to_numpy()].tolist()) for name in names.unique(maintain_order=True)
        }

    @cached_property
    def metric_columns(self) -> dict[str, object]:
        """The columns by which every frame of the analysis names its metric."""
        benchmark, scorer, metric = self.key
        unit = metric_named(metric).unit
        return {"benchmark": benchmark, "scorer": scorer, "metric": metric, "main": self.main, "unit": unit}

    @cached_property
    def seed_variance(self) -> tuple[float, int]:
        """Variance of gain between seeds of the same base, dataset and recipe, pooled, and its degrees of freedom."""
        cell_R = codes(self.rows, "base", "dataset", *FACTORS)
        count, total = np.bincount(cell_R), np.bincount(cell_R, weights=self.gains)
        deviation_R = self.gains - (total / count)[cell_R]
        df = int((count - 1).sum())
        return (float(deviation_R @ deviation_R) / df, df) if df > 0 else (0.0, 0)

    def weights(self, mask_R: NDArray[np.bool_]) -> Reals:
        """Weights of a balanced mean: over units, their bases, the recipes of each, and the seeds of each, in turn."""
        weight_R = np.zeros(len(mask_R))
        picked = np.flatnonzero(mask_R)
        unit, base, block = self.units[picked], self.bases[picked], self.blocks[picked]
        weight = 1.0 / _counts(block)
        weight /= _counts_of_distinct(base, block)
        weight /= _counts_of_distinct(unit, base)
        weight /= len(np.unique(unit))
        weight_R[picked] = weight
        return weight_R

    def difference_weights(self, mask_R: NDArray[np.bool_], other_R: NDArray[np.bool_]) -> Reals | None:
        """Weights of the mean difference of two sets of runs in the blocks both have; None where they share none."""
        shared = np.intersect1d(self.blocks[mask_R], self.blocks[other_R])
        if len(shared) == 0:
            return None
        in_shared = np.isin(self.blocks, shared)
        return self.weights(mask_R & in_shared) - self.weights(other_R & in_shared)

    def item_part(self, weight_R: Reals) -> VariancePart | None:
        """Sampling variance of a weighted sum of gains over the choice of items, paired by item.

        None where any of the runs was compared on fewer than two items: of a base that fits one item, the residual is 0
        and its gain would count as known exactly. Degrees of freedom are those of the run with the fewest. Where items
        are right or wrong the variance is at least that of Bonett & Price (2012) with no item changed.
        """
        if self.pull is None:
            return None
        used = np.flatnonzero(weight_R)
        weight_U, pull_UI = weight_R[used], self.pull[used]
        items_U = self._num_items[used]
        fewest = int(items_U.min())
        if fewest < 2:
            return None
        pull_I = (weight_U * np.sqrt(items_U / (items_U - 1))) @ np.nan_to_num(pull_UI)
        variance = float(pull_I @ pull_I)
        if self.binary:
            least_U = weight_U * math.sqrt(2) / (items_U + 2)
            variance = max(variance, float(least_U[weight_U > 0].sum() ** 2), float(least_U[weight_U < 0].sum() ** 2))
        return VariancePart(variance, fewest - 1)

    def items_of(self, weight_R: Reals) -> int:
        """Number of items that at least one of the runs in a weighted sum was compared on; a passage counts once."""
        if self.pull is None:
            return 0
        return int(np.count_nonzero(~np.isnan(self.pull[np.flatnonzero(weight_R)]).all(axis=0)))

    def fewest_items_of(self, weight_R: Reals) -> int:
        """Number of items of the run in a weighted sum that was compared on the fewest."""
        return int(self._num_items[np.flatnonzero(weight_R)].min())

    @cached_property
    def _num_items(self) -> Labels:
        """How many items every run was compared on."""
        if self.pull is None:
            return np.zeros(self.rows.height, dtype=np.int64)
        known: Labels = np.count_nonzero(~np.isnan(self.pull), axis=1).astype(np.int64)
        return known

    def of_these_bases(self, weight_R: Reals) -> Estimate:
        """A weighted sum of gains with the interval over items and seeds: of these very bases, `n` items.

        Without repeated seeds it speaks of these very models.
        """
        value = float(weight_R @ self.gains)
        items, part = self.items_of(weight_R), self.item_part(weight_R)
        if part is None:
            return Estimate(value, None, None, None, items)
        parts = [part]
        seed_square, seed_df = self.seed_variance
        if seed_df > 0:
            parts.append(VariancePart(seed_square * float(weight_R @ weight_R), seed_df))
        return self._within_range(combined(value, *parts, n=items))

    def of_bases_like_these(self, weight_R: Reals) -> Estimate:
        """The same sum with the interval over units, plus the choice of items, which all units share; `n` units.

        None of its ends is known for a single unit.
        """
        used = weight_R != 0
        units, place_R = np.unique(self.units[used], return_inverse=True)
        between = mean(np.bincount(place_R, weights=(weight_R * self.gains)[used]).astype(np.float64) * len(units))
        return self.with_items(between, weight_R)

    def with_items(self, between: Estimate, weight_R: Reals) -> Estimate:
        """An estimate of a weighted sum from spread between units, and the choice of items, which all units share."""
        parts, of_items = list(between.parts), self.item_part(weight_R)
        if parts and of_items is not None:
            parts.append(of_items)
        return self._within_range(combined(between.value, *parts, n=between.n))

    def _within_range(self, estimate: Estimate) -> Estimate:
        """Gains of shares, and their differences, lie between -1 and 1, and so do their intervals."""
        low, high = estimate.ci_low, estimate.ci_high
        if low is None or high is None or not metric_named(self.key[2]).share:
            return estimate
        return replace(estimate, ci_low=max(-1.0, low), ci_high=min(1.0, high))


def gain_sets(scores: pl.DataFrame, influences: Mapping[MetricKey, Influence] | None = None) -> list[GainSet]:
    """The gains a study has so far, one set for each benchmark, scorer and metric, in the order of the table.

    Without `influences` intervals leave the choice of items out. Only runs that are chosen (see `standings`), after
    their last epoch: epochs of one run are no samples.
    """
    gains = _without_selected_rates(last_epochs(scores).filter(pl.col("gain").is_not_null()))
    sets: list[GainSet] = []
    for part, rows in gains.partition_by("benchmark", "scorer", "metric", as_dict=True, maintain_order=True).items():
        key = (str(part[0]), str(part[1]), str(part[2]))
        sets.append(_gain_set(key, rows, (influences or {}).get(key)))
    return sets


def last_epochs(scores: pl.DataFrame) -> pl.DataFrame:
    """Rows of the table `scores` that answers are built on: chosen runs after the last epoch that is scored."""
    of_runs = scores.filter(pl.col("run").is_not_null() & pl.col("chosen").fill_null(value=True))
    return of_runs.filter(pl.col("epoch") == pl.col("epoch").max().over("run"))


def _gain_set(key: MetricKey, rows: pl.DataFrame, influence: Influence | None) -> GainSet:
    main = bool(rows["main"].any())
    if influence is None:
        return GainSet(key, main, rows)
    places = {run: place for place, run in enumerate(influence.runs)}
    return GainSet(key, main, rows, influence.pull[[places[run] for run in rows["run"]]], influence.binary)


def _without_selected_rates(rows: pl.DataFrame) -> pl.DataFrame:
    """Null the learning rate and batch size of methods that select theirs, in every cell anew: part of the method."""
    selecting = rows.filter(pl.col("chosen").is_not_null())["method"].unique().to_list()
    free = ~pl.col("method").is_in(selecting)
    return rows.with_columns(pl.when(free).then(pl.col(name)).alias(name) for name in ("learning_rate", "batch_size"))


def codes(rows: pl.DataFrame, *columns: str) -> Labels:
    """One whole number for each distinct combination of columns."""
    return rows.select(pl.struct(*columns).rank("dense").cast(pl.Int64()) - 1).to_series().to_numpy()


def _counts(place: Labels) -> Reals:
    """How often each entry's own value occurs."""
    _, inverse, count = np.unique(place, return_inverse=True, return_counts=True)
    return count[inverse].astype(np.float64)


def _counts_of_distinct(outer: Labels, inner: Labels) -> Reals:
    """How many distinct inner values each entry's outer value has."""
    width = int(inner.max()) + 1
    counts = np.bincount(np.unique(outer * width + inner) // width)
    return counts[outer].astype(np.float64)

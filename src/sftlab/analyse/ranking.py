"""Which data for which benchmark: mean gain of every dataset, and every dataset against every other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from sftlab.analyse.frames import framed
from sftlab.analyse.gain_sets import GainSet, codes, last_epochs
from sftlab.analyse.intervals import Estimate, Labels, Reals
from sftlab.analyse.metrics import metric_named
from sftlab.analyse.multiplicity import holm_within_families
from sftlab.analyse.power import add_smallest_effects
from sftlab.analyse.verdicts import Row, adjust, verdict
from sftlab.analyse.wording import ROUNDING

LIKE_THESE, THESE = "bases like these", "these bases"
ALL_METHODS = "all"


def metrics_frame(scores: pl.DataFrame) -> pl.DataFrame:
    """Frame `metrics`: what every benchmark is scored in."""
    scored = scores.filter(pl.col("metric").is_not_null())
    parts = scored.partition_by("benchmark", "scorer", "metric", as_dict=True, maintain_order=True)
    rows: list[Row] = [
        {
            "benchmark": part[0],
            "scorer": part[1],
            "metric": part[2],
            "main": bool(of_part["main"].any()),
            "unit": metric_named(str(part[2])).unit,
            "higher_is_better": metric_named(str(part[2])).higher_is_better,
            "scored": of_part["value"].count(),
        }
        for part, of_part in parts.items()
    ]
    return framed("metrics", rows)


def gains_frame(sets: Sequence[GainSet], scores: pl.DataFrame) -> pl.DataFrame:
    """Frame `gains`: base x dataset x method cells of every metric, also those that have no gain yet.

    p-values are adjusted (Benjamini & Hochberg) over the whole grid of cells and benchmarks, separately for means over
    methods and single methods, and for main and other metrics.
    """
    expected = last_epochs(scores.with_columns(pl.col("chosen") | (pl.col("status") == "pending")))
    by_key = {gain_set.key: gain_set for gain_set in sets}
    untuned = scores.filter(pl.col("run").is_null())
    rows: list[Row] = []
    for part, of_part in expected.partition_by(
        "benchmark", "scorer", "metric", as_dict=True, maintain_order=True
    ).items():
        gain_set = by_key.get((str(part[0]), str(part[1]), str(part[2])))
        known = None if gain_set is None else _Known.of(gain_set)
        main, unit = bool(of_part["main"][0]), metric_named(str(part[2])).unit if part[2] else None
        metric = {**dict(zip(("benchmark", "scorer", "metric"), part, strict=True)), "main": main, "unit": unit}
        runs, methods = of_part["run"].to_list(), of_part["method"].to_list()
        for names, places in _cells(of_part):
            for method in [ALL_METHODS, *dict.fromkeys(methods[place] for place in places)]:
                chosen = [place for place in places if method in {ALL_METHODS, methods[place]}]
                gain = None if known is None else known.gain([runs[place] for place in chosen])
                if gain is None:
                    of_base = untuned.filter((pl.col("base") == names["base"]) & (pl.col("benchmark") == part[0]))
                    gain = {"gain": None, "p": None, "n": 0, **_missing(of_part[chosen], of_base)}
                rows.append({**names, "method": method, **metric, **gain})
    for main in (True, False):
        for is_mean in (True, False):
            adjust([row for row in rows if row["main"] is main and (row["method"] == ALL_METHODS) is is_mean], "gain")
    return framed("gains", rows)


def _cells(of_part: pl.DataFrame) -> Iterator[tuple[Row, list[int]]]:
    """The places of the rows of every base x dataset cell, in the order in which cells come first."""
    cells: dict[tuple[str, str], list[int]] = {}
    for place, cell in enumerate(zip(of_part["base"], of_part["dataset"], strict=True)):
        cells.setdefault(cell, []).append(place)
    for (base, dataset), places in cells.items():
        yield {"base": base, "family": of_part["family"][places[0]], "dataset": dataset}, places


@dataclass(frozen=True, eq=False)
class _Known:
    """The gains of one metric by run; `seeds` has a number for each distinct seed, one entry a run."""

    gain_set: GainSet
    places: Mapping[str, int]
    seeds: Labels

    @classmethod
    def of(cls, gain_set: GainSet) -> "_Known":
        """Those of a set."""
        rows = gain_set.rows
        places = {run: place for place, run in enumerate(rows["run"])}
        return cls(gain_set, places, codes(rows, "seed", "order_seed", "init_seed"))

    def gain(self, runs: Sequence[str]) -> Row | None:
        """Mean gain of these runs of one base and dataset; None where none of them has one."""
        picked = [self.places[run] for run in runs if run in self.places]
        if not picked:
            return None
        mask_R = np.zeros(len(self.seeds), dtype=np.bool_)
        mask_R[picked] = True
        estimate = self.gain_set.of_these_bases(self.gain_set.weights(mask_R))
        counts = {"n": int(mask_R.sum()), "items": estimate.n, "seeds": len(np.unique(self.seeds[picked]))}
        return {"gain": estimate.value, **ends(estimate), **counts, "status": "done", "p": estimate.p}


def _missing(scores: pl.DataFrame, of_base: pl.DataFrame) -> Row:
    """Status and reason of a gain that is not known: those of the runs' scores, else of the base's."""
    not_done = pl.col("status") != "done"
    why = scores.filter(not_done)
    if not why.is_empty():
        return {"status": why["status"][0], "reason": why["reason"][0]}
    if of_base.is_empty():
        return {"status": "pending", "reason": "the base is not scored yet"}
    why = of_base.filter(not_done)
    if not why.is_empty():
        return {"status": why["status"][0], "reason": f"the base: {why['reason'][0] or 'not scored'}"}
    return {"status": "unfit", "reason": "no item fits both the base and the tuned model"}


def ends(estimate: Estimate) -> Row:
    """Standard error, ends and count as columns."""
    return {"se": estimate.se, "ci_low": estimate.ci_low, "ci_high": estimate.ci_high, "n": estimate.n}


def ranking_frame(sets: Sequence[GainSet]) -> pl.DataFrame:
    """Frame `ranking`: datasets by mean gain over bases, recipes and seeds, for each population.

    Only over the recipes that all datasets that are ranked were tried with (see `GainSet.rankable`). The others come
    behind them with gains over recipes of their own, and their `rank` is null: their place would be that of the recipes
    as much as that of the data. Datasets that were not all tried on the same bases are ordered by their matched
    differences, not by these means, which are of different bases (see `_order`).
    """
    rows: list[Row] = []
    for gain_set in sets:
        weights = {}
        for name in datasets(gain_set):
            of_dataset_R = gain_set.rows["dataset"].eq(name).to_numpy()
            shared_R = gain_set.common_recipes if name in gain_set.rankable else True
            weights[name] = gain_set.weights(of_dataset_R & shared_R)
        gains = {name: float(weight_R @ gain_set.gains) for name, weight_R in weights.items()}
        ranked = _order(gain_set, gains)
        behind = sorted(
            [name for name in weights if name not in ranked],
            key=lambda name: (name not in gain_set.rankable, -gains[name], name),
        )
        for rank, name in enumerate([*ranked, *behind], start=1):
            for population, estimate in populations(gain_set, weights[name]):
                cells = len(np.unique(gain_set.bases[weights[name] != 0]))
                names: Row = {
                    "population": population,
                    "dataset": name,
                    "rank": rank if name in ranked else None,
                }
                counts = {"cells": cells, "fewest_items": gain_set.fewest_items_of(weights[name])}
                rows.append({**gain_set.metric_columns, **names, "gain": estimate.value, **ends(estimate), **counts})
    return framed("ranking", rows)


def _order(gain_set: GainSet, gains: Mapping[str, float]) -> list[str]:
    """Datasets that can be ranked, best first: by mean gain, where all were tried on the same bases and recipes.

    Else a mean says as much of the bases as of the data. Next is then the dataset that no difference matched by base
    and recipe puts behind another that is left; in a circle, where there is none, the one furthest ahead of those left
    in sum. Datasets that share no base and recipe with others are left out, until all that remain can be compared.
    """
    if gain_set.tried_alike:
        return sorted(gain_set.rankable, key=lambda name: -gains[name])
    ahead = _matched_differences(gain_set)
    names = list(gain_set.rankable)
    while len(matched := [sum((name, other) in ahead for other in names) for name in names]) > min(matched) + 1:
        names.pop(max(range(len(names)), key=lambda place: (-matched[place], place)))
    order: list[str] = []
    while len(names) > 1:
        lead = {name: [ahead[name, other] for other in names if other != name] for name in names}
        unbeaten = [name for name in names if min(lead[name]) >= -ROUNDING]
        order.append(unbeaten[0] if unbeaten else max(names, key=lambda name: sum(lead[name])))
        names.remove(order[-1])
    return [*order, *names] if order else []


def _matched_differences(gain_set: GainSet) -> dict[tuple[str, str], float]:
    """By how much each dataset that may be ranked gains more than each other one on what both were tried on."""
    masks = {name: gain_set.rows["dataset"].eq(name).to_numpy() for name in gain_set.rankable}
    found: dict[tuple[str, str], float] = {}
    for first, second in combinations(masks, 2):
        weight_R = gain_set.difference_weights(masks[first], masks[second])
        if weight_R is not None:
            found[first, second] = float(weight_R @ gain_set.gains)
            found[second, first] = -found[first, second]
    return found


def datasets(gain_set: GainSet) -> list[str]:
    """Datasets that have a gain in this metric, in the order of the study."""
    return gain_set.rows["dataset"].unique(maintain_order=True).to_list()


def populations(gain_set: GainSet, weight_R: Reals) -> Iterator[tuple[str, Estimate]]:
    """The estimates of one weighted sum: of new bases like these where several were tried, and of these bases."""
    if len(np.unique(gain_set.units)) > 1:
        yield LIKE_THESE, gain_set.of_bases_like_these(weight_R)
    yield THESE, gain_set.of_these_bases(weight_R)


def comparisons_frame(sets: Sequence[GainSet]) -> pl.DataFrame:
    """Frame `comparisons`: all pairs of datasets, matched by base and recipe.

    p-values are adjusted for all pairs of a benchmark (which covers picking the best one first) and for the number of
    benchmarks, separately for each population and for main and other metrics.
    """
    rows = [row for gain_set in sets for row in _pairs(gain_set)]
    for population in (LIKE_THESE, THESE):
        for main in (True, False):
            asked = [row for row in rows if row["population"] == population and row["main"] == main]
            _adjust(asked)
    return framed("comparisons", rows)


def _pairs(gain_set: GainSet) -> Iterator[Row]:
    masks = {name: gain_set.rows["dataset"].eq(name).to_numpy() for name in datasets(gain_set)}
    for first, second in combinations(masks, 2):
        weight_R = gain_set.difference_weights(masks[first], masks[second])
        if weight_R is None:
            continue
        better, other = first, second
        if float(weight_R @ gain_set.gains) < 0:
            better, other, weight_R = second, first, -weight_R
        fewest_items = gain_set.fewest_items_of(weight_R)
        for population, estimate in populations(gain_set, weight_R):
            names: Row = {"population": population, "dataset": better, "other": other, "difference": estimate.value}
            told = {**ends(estimate), "fewest_items": fewest_items, "p": estimate.p, "parts": estimate.parts}
            yield {**gain_set.metric_columns, **names, **told}


def _adjust(rows: list[Row]) -> None:
    """Add adjusted p-values and verdicts in place; `rows` are those of one population."""
    families: dict[object, list[Row]] = {}
    for row in rows:
        if row["p"] is not None:
            families.setdefault((row["benchmark"], row["scorer"], row["metric"]), []).append(row)
    adjusted = holm_within_families([[row["p"] for row in family] for family in families.values()])
    for family, p_values in zip(families.values(), adjusted, strict=True):
        for row, p_adjusted in zip(family, p_values, strict=True):
            row["p_adjusted"] = p_adjusted
    for row in rows:
        row["verdict"] = verdict(row["difference"], row.get("p_adjusted"))
    for family in families.values():
        add_smallest_effects(family, questions=len(family) * len(families))
    for row in rows:
        row.pop("parts", None)

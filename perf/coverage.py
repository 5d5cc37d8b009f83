"""Do 95 % intervals hold the truth, and is nothing found where nothing is? By simulation, of every kind of answer.

Studies are drawn with planted effects (`coverage_worlds.py`) and analysed as `sftlab analyse` does. For each kind of
answer: the share of intervals that hold the truth, by the number of families and datasets and by how much families
differ; and, with nothing planted, the share of studies in which anything is found after correction. Required are at
least 92 % covered, at most 98 % where families differ and are six or more, and at most 6 % of studies with a finding.
"""

import argparse
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import coverage_worlds as worlds
import numpy as np
import polars as pl
from coverage_worlds import World
from record import Result, machine, markdown_table, say

from sftlab.analyse import agreement
from sftlab.analyse.comparing.grid import sibling_grid
from sftlab.analyse.consistency import consistency_frame
from sftlab.analyse.layers import layer_change_frame, layer_correlations_frame
from sftlab.analyse.properties import properties_frame
from sftlab.analyse.ranking import LIKE_THESE, comparisons_frame, ranking_frame
from sftlab.analyse.training import training_frames
from sftlab.analyse.verdicts import LEVEL

LEAST, MOST, MOST_FOUND = 0.92, 0.98, 0.06
MANY_FAMILIES = 6
SHARED = 0.5
FEWER_PERMUTATIONS = 199
"""Intervals do not depend on them, and p-values as coarse as 0.005 show what is found at 0.05."""

WORLDS = tuple(
    World(families, datasets, family=family, interaction=interaction, method=method)
    for families, datasets in ((3, 4), (4, 8), (6, 10), (12, 10))
    for family, interaction, method in ((0.3, 0.2, 0.1), (0.3, 0.0, 0.0), (0.05, 0.3, 0.2))
)
Hits = Iterator[tuple[str, bool]]


def holds(low: float | None, high: float | None, truth: float) -> bool:
    """Whether an interval holds the truth; one without ends says nothing and is not counted."""
    assert low is not None
    assert high is not None
    return bool(low - 1e-12 <= truth <= high + 1e-12)


def gains_cover(world: World, generator: np.random.Generator) -> Hits:
    """Rankings, comparisons, training differences, consistency and the pairs of siblings of one drawn study."""
    drawn = worlds.draw(world, generator)
    mean_D = drawn.mean.mean(axis=1)
    here = {one.key[0]: here_FDM for one, here_FDM in zip(drawn.sets, drawn.here, strict=True)}
    for row in ranking_frame(drawn.sets).iter_rows(named=True):
        place = int(row["dataset"][1:])
        is_new = row["population"] == LIKE_THESE
        truth = mean_D[place] if is_new else here[row["benchmark"]][:, place].mean()
        yield f"ranking, {row['population']}", holds(row["ci_low"], row["ci_high"], truth)
    for row in comparisons_frame(drawn.sets).iter_rows(named=True):
        one, other = (int(row[side][1:]) for side in ("dataset", "other"))
        is_new = row["population"] == LIKE_THESE
        here_D = here[row["benchmark"]].mean(axis=(0, 2))
        truth = mean_D[one] - mean_D[other] if is_new else here_D[one] - here_D[other]
        yield f"comparisons, {row['population']}", holds(row["ci_low"], row["ci_high"], truth)
    for row in training_frames(drawn.sets, {})[0].iter_rows(named=True):
        yield "training", holds(row["ci_low"], row["ci_high"], drawn.method_effect)
    spread = worlds.draw(replace(world, families=1), generator)
    for row in consistency_frame(drawn.sets).iter_rows(named=True):
        place = int(row["dataset"][1:])
        yield "consistency, mean", holds(row["ci_low"], row["ci_high"], mean_D[place])
        of_one_more = spread.here[int(row["benchmark"][1:])][0, place].mean()
        yield "consistency, one more family", holds(row["new_low"], row["new_high"], of_one_more)


def siblings_cover(world: World, generator: np.random.Generator) -> Hits:
    """Pairs of siblings: the truth is that of these very runs over all items."""
    drawn = worlds.draw(replace(world, families=2, seeds=1, seed=0.0), generator)
    for gain_set, here_FDM in zip(drawn.sets, drawn.here, strict=True):
        truth = dict(zip(gain_set.rows["run"], here_FDM.ravel(), strict=True))
        for row in sibling_grid([gain_set]).iter_rows(named=True):
            yield "siblings", holds(row["ci_low"], row["ci_high"], truth[row["run"]] - truth[row["other"]])


def properties_cover(world: World, generator: np.random.Generator) -> Hits:
    """Correlations of a data property with gain."""
    points, truth = worlds.properties(world, generator, families_differ=True)
    for row in properties_frame(points, {}).filter(pl.col("scope") == "within").iter_rows(named=True):
        of_kind = truth if row["kind"] == "pearson" else 6 / math.pi * math.asin(truth / 2)
        yield f"properties within, {row['kind']}", holds(row["ci_low"], row["ci_high"], of_kind)


def layers_cover(world: World, generator: np.random.Generator) -> Hits:
    """Mean change by depth, its correlation with gain, and whether the sets of where either peaks hold the place."""
    drawn = worlds.layers(world, generator)
    change = layer_change_frame([drawn.profile], {})
    for row, truth in zip(change.iter_rows(named=True), drawn.mean, strict=True):
        yield "layer change", holds(row["ci_low"], row["ci_high"], truth)
    yield MOST_CHANGE, bool(change["near_peak"][int(drawn.mean.argmax())])
    correlations = layer_correlations_frame([drawn.profile], [drawn.gain_set], {})
    for row in correlations.filter(~pl.col("divided_by_total")).iter_rows(named=True):
        truth = drawn.correlation if row["depth"] == 0 else 0.0
        yield "layer correlations", holds(row["ci_low"], row["ci_high"], truth)
        if truth and row["near_peak"] is not None:
            yield STRONGEST, bool(row["near_peak"])


def agreement_covers(world: World, generator: np.random.Generator) -> Hits:
    """Correlation of two families over datasets and benchmarks, and its mean over all pairs."""
    array = worlds.array(world, generator, shared=SHARED)
    for pair in agreement.agreements(array, "base"):
        if pair.estimate is not None and pair.estimate.ci_low is not None:
            yield "agreement of two bases", holds(pair.estimate.ci_low, pair.estimate.ci_high, SHARED)
    for pair in agreement.agreements(array, "benchmark"):
        if pair.estimate is not None and pair.estimate.ci_low is not None:
            yield "agreement of two benchmarks", holds(pair.estimate.ci_low, pair.estimate.ci_high, 0.0)
    found = agreement.mean_agreement(array, "base")
    if found is not None and found[0].ci_low is not None:
        yield "mean agreement of bases", holds(found[0].ci_low, found[0].ci_high, SHARED)


COVERED: Mapping[str, Callable[[World, np.random.Generator], Hits]] = {
    "gains": gains_cover,
    "siblings": siblings_cover,
    "properties": properties_cover,
    "layers": layers_cover,
    "agreement": agreement_covers,
}


def findings(world: World, generator: np.random.Generator) -> Hits:
    """Whether a study in which there is nothing has a finding, by kind of answer."""
    drawn = worlds.draw(world, generator)
    comparisons = comparisons_frame(drawn.sets)
    for population in comparisons["population"].unique(maintain_order=True):
        if population == LIKE_THESE:
            yield f"comparisons, {population}", any_found(comparisons.filter(population=population))
    yield "training", any_found(training_frames(drawn.sets, {})[0])
    yield "consistency, mean", any_found(consistency_frame(drawn.sets))
    nothing = replace(world, family=0.0, interaction=0.0, method=0.0)
    equal = worlds.draw(replace(nothing, seed=0.0), generator)
    yield "siblings", any_found(sibling_grid(equal.sets))
    points, _ = worlds.properties(world, generator, families_differ=True)
    others = [worlds.properties(world, generator, families_differ=True)[0] for _ in range(4)]
    named = [frame.with_columns(property=pl.lit(f"p{place}")) for place, frame in enumerate([points, *others])]
    frame = properties_frame(pl.concat(named), {})
    for scope, kind in (("within", "pearson"), ("within", "spearman"), ("across", "pearson"), ("across", "spearman")):
        yield f"properties {scope}, {kind}", any_found(frame.filter(scope=scope, kind=kind))
    layers = worlds.layers(world, generator)
    correlations = layer_correlations_frame([layers.profile], [layers.gain_set], {})
    yield "layer correlations", any_found(correlations.filter(~pl.col("divided_by_total")))
    array = worlds.array(world, generator, shared=0.0)
    found = agreement.mean_agreement(array, "base")
    assert found is not None
    yield "mean agreement of bases", found[1] <= LEVEL


def any_found(frame: pl.DataFrame) -> bool:
    """Whether anything is found after correction."""
    return bool((frame["p_adjusted"].drop_nulls() <= LEVEL).any())


Counts = dict[str, list[bool]]


def simulate(ask: Callable[[World, np.random.Generator], Hits], world: World, studies: int) -> Counts:
    """What was hit over many studies, by kind; the same studies whatever else is simulated."""
    counts: Counts = {}
    name = getattr(ask, "__name__", "")
    for study in range(studies):
        generator = np.random.default_rng([zlib.crc32(f"{name} {world.name}".encode()), study])
        for kind, hit in ask(world, generator):
            counts.setdefault(kind, []).append(hit)
    return counts


def rows_of(counts: Counts, world: World, *, null: bool) -> Iterator[dict[str, object]]:
    """One row a kind: how often, out of how many, and whether that is as required."""
    for kind, hits in counts.items():
        share = sum(hits) / len(hits)
        differ = world.method > 0 if kind == "training" else world.clustered
        bounded = differ and world.families >= MANY_FAMILIES and kind not in (*OF_ITEMS, *SETS)
        good = share <= MOST_FOUND if null else share >= LEAST and (share <= MOST or not bounded)
        yield {"kind": kind, "world": world.name, "share": share, "count": len(hits), "as_required": good}


OF_ITEMS = ("ranking, these bases", "comparisons, these bases", "siblings")
"""Intervals over items and seeds, which no family has a part in."""
SETS = (MOST_CHANGE, STRONGEST) = ("depth of most change", "depth of strongest correlation")
"""Sets of places, which hold the true one the more often the plainer it is."""


def main() -> None:
    """Simulate, show by kind and world, say what fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=400, help="drawn for each world")
    parser.add_argument("--smallest", action="store_true", help="one world, few studies, to see that it runs")
    parser.add_argument("--only", choices=(*COVERED, "null"), help="one kind of answer alone")
    parser.add_argument("--save", action="store_true", help="keep the result under results/")
    given = parser.parse_args()
    at_start = machine()
    agreement.PERMUTATIONS = FEWER_PERMUTATIONS
    chosen = WORLDS[3:4] if given.smallest else WORLDS
    studies = 5 if given.smallest else given.studies
    covered: list[dict[str, object]] = []
    found: list[dict[str, object]] = []
    for world in chosen:
        say(world.name)
        for name, ask in COVERED.items():
            if given.only in {None, name}:
                covered += rows_of(simulate(ask, world, studies), world, null=False)
        if given.only in {None, "null"}:
            found += rows_of(simulate(findings, replace(world, planted=False), studies), world, null=True)
    tables = [
        f"{title}\n\n{markdown_table(('answer', *[world.name for world in chosen]), wide(rows, chosen))}"
        for title, rows in (
            ("95 % intervals that hold the truth, %:", covered),
            ("Studies of nothing with a finding, %:", found),
        )
        if rows
    ]
    settings = {"studies": studies, "least_covered": LEAST, "most_covered": MOST, "most_found": MOST_FOUND}
    values = {"covered": covered, "found": found}
    name = "coverage" if given.only is None else f"coverage-{given.only}"
    Result(name, settings, values, "\n\n".join(tables)).finish(at_start, save=given.save)


def wide(rows: list[dict[str, object]], chosen: tuple[World, ...]) -> Iterator[list[object]]:
    """A row a kind and a column a world; what is not as required is marked."""
    cells = {(row["kind"], row["world"]): row for row in rows}
    for kind in dict.fromkeys(row["kind"] for row in rows):
        of_kind = [cells.get((kind, world.name)) for world in chosen]
        yield [kind, *(None if cell is None else _percent(cell) for cell in of_kind)]


def _percent(cell: Mapping[str, object]) -> str:
    share = cell["share"]
    assert isinstance(share, float)
    return f"{100 * share:.1f}{'' if cell['as_required'] else ' !'}"


if __name__ == "__main__":
    main()

"""What a study could see before it runs: the smallest differences that its analyses would find in four of five studies.

From how many of everything it has, and from how much gains spread: as its store has seen so far, else typically.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from sftlab.analyse.gain_sets import FACTORS, gain_sets, item_influences
from sftlab.analyse.metrics import metric_named
from sftlab.analyse.planned_power import (
    Design,
    Spread,
    observed_spread,
    smallest_choice,
    smallest_difference,
    typical_spread,
)
from sftlab.analyse.power import smallest_correlation, smallest_effects
from sftlab.analyse.score_tables import scores_table
from sftlab.analyse.verdicts import LEVEL
from sftlab.analyse.wording import SHARES, counted, listed, listed_briefly, plain
from sftlab.plan.benchmark_items import BenchmarkItems
from sftlab.plan.resolve import Resolved
from sftlab.store import Store
from sftlab.study.cells import Cells, RunCell, ScoreCell
from sftlab.study.measures import MEASURES

NEARLY_ONE = 0.99
SCORES_READ = 200
"""Scores that are read to see how much gains spread; more would take longer than a plan may."""


@dataclass(frozen=True)
class PlannedPower:
    """The smallest effects on one benchmark, in `unit`: None where the design has no interval for the question.

    Between two datasets for new bases like these (`new_bases`) and for the ones tried (`these_bases`), and between two
    levels of a training choice such as the method (`choice`).
    """

    benchmark: str
    unit: str
    items: int
    new_bases: float | None
    these_bases: float | None
    choice: float | None
    spread: Spread


@dataclass(frozen=True)
class StudyPower:
    """What a whole study could see. `questions` are asked together: pairs of datasets, choices and correlations.

    `correlation` is the smallest one of a data property with gain.
    """

    design: Design
    units: str
    benchmarks: tuple[PlannedPower, ...]
    questions: Mapping[str, int]
    correlation: float | None


def study_power(resolved: Resolved, store: Store) -> StudyPower | None:
    """What the study could see with all its cells done; None where it compares nothing: no run, or no benchmark."""
    cells = resolved.cells
    if not cells.runs or not resolved.benchmarks:
        return None
    design, units = _design(cells.runs)
    seen = seen_spreads(cells, store)
    count = len(resolved.benchmarks)
    measured = sum(len(MEASURES[name].properties) for name in resolved.study.measures if MEASURES[name].of == "data")
    questions = {
        "datasets": max(1, design.pairs * count),
        "choices": _level_pairs(cells.runs) * count,
        "properties": max(1, measured * count),
    }
    items = BenchmarkItems(resolved.study.evaluation, store)
    planned = []
    for ref, benchmark_digest in resolved.benchmarks:
        metric = items.outline(ref).metric
        spread = seen.get(ref.name) or typical_spread(metric_named(metric))
        if spread is not None:
            asked = replace(design, items=items.number(ref, benchmark_digest))
            planned.append(_planned(ref.name, metric, asked, spread, questions))
    correlation = smallest_correlation(design.datasets, level=LEVEL / questions["properties"])
    return StudyPower(design, units, tuple(planned), questions, correlation)


def _planned(benchmark: str, metric: str, design: Design, spread: Spread, questions: Mapping[str, int]) -> PlannedPower:
    pairs, choices = questions["datasets"], questions["choices"]
    return PlannedPower(
        benchmark,
        metric_named(metric).unit,
        design.items,
        new_bases=smallest_difference(design, spread, new_bases=True, questions=pairs),
        these_bases=smallest_difference(design, spread, new_bases=False, questions=pairs),
        choice=smallest_choice(design, spread, questions=choices) if choices else None,
        spread=spread,
    )


def _design(runs: Sequence[RunCell]) -> tuple[Design, str]:
    """How many of everything the runs are, and what new bases are counted in: families, or bases where all are one."""
    bases = {run.spec.base for run in runs}
    families = {run.family for run in runs}
    units = len(families) if len(families) > 1 else len(bases)
    by_dataset: dict[str, set[object]] = {}
    for run in runs:
        by_dataset.setdefault(run.spec.dataset, set()).add(_recipe(run))
    cells = {(run.spec.base, run.spec.dataset, _recipe(run)) for run in runs}
    replicates = {(run.spec.base, run.spec.dataset, _recipe(run), run.spec.seeds) for run in runs}
    common = set.intersection(*by_dataset.values())
    design = Design(
        families=units,
        bases=max(1, round(len(bases) / units)),
        datasets=len(by_dataset),
        recipes=max(1, len(common)),
        seeds=max(1, round(len(replicates) / len(cells))),
        items=0,
    )
    return design, "base family" if len(families) > 1 else "base"


def _recipe(run: RunCell) -> tuple[object, ...]:
    """All factors but base, dataset and seed; rates among which a method selects are no recipes of their own."""
    factors = _factors(run)
    if run.spec.method.select is not None:
        factors |= {"learning_rate": None, "batch_size": None}
    return tuple(factors.values())


def _factors(run: RunCell) -> dict[str, object]:
    spec = run.spec
    named = {"method": spec.method_name, "fixed_steps": spec.steps}
    return {name: named[name] if name in named else getattr(spec, name) for name in FACTORS}


def _level_pairs(runs: Sequence[RunCell]) -> int:
    """Pairs of levels of all factors that the study varies, as the analysis of training choices compares them."""
    total = 0
    for place, name in enumerate(FACTORS):
        levels = len({_recipe(run)[place] for run in runs} - {None})
        if name not in {"learning_rate", "batch_size"} or len({run.spec.method_name for run in runs}) == 1:
            total += levels * (levels - 1) // 2
    return total


def seen_spreads(cells: Cells, store: Store) -> dict[str, Spread]:
    """Spreads of gains in the main metric, by benchmark, of the first benchmarks that the store has scores of."""
    held = [cell for cell in cells.scores if store.has(cell.identity)]
    chosen: list[ScoreCell] = []
    for _, of_benchmark in groupby(
        sorted(held, key=lambda cell: cell.benchmark.name), key=lambda cell: cell.benchmark.name
    ):
        scores = list(of_benchmark)
        if len(chosen) + len(scores) <= SCORES_READ:
            chosen += scores
    if not chosen:
        return {}
    of_these = replace(cells, scores=tuple(chosen))
    found: dict[str, Spread] = {}
    for gain_set in gain_sets(scores_table(of_these, store), item_influences(of_these, store)):
        typical = typical_spread(metric_named(gain_set.key[2]))
        spread = observed_spread(gain_set, typical) if gain_set.main and typical is not None else None
        if spread is not None:
            found[gain_set.key[0]] = spread
    return found


def power_lines(power: StudyPower) -> list[str]:
    """The paragraph of a plan on what the study could see, in plain sentences."""
    design, lines = power.design, []
    plural = "base families" if power.units == "base family" else "bases"
    parts = [
        counted(design.families, power.units, plural),
        counted(design.datasets, "dataset"),
        counted(design.seeds, "seed"),
    ]
    has = listed([*parts, f"{counted(power.benchmarks[0].items, 'item')} a benchmark"] if _even(power) else parts)
    asked = power.questions["datasets"]
    corrected = f"in 4 of 5 studies, corrected for {counted(asked, 'question')}," if asked > 1 else "in 4 of 5 studies"
    told = [
        f"{whom}, {smallest_effects(rows)}"
        for field, whom in (("new_bases", "for new bases like these"), ("these_bases", "for these bases alone"))
        if (rows := _rows(power, field))
    ]
    if told:
        lines.append(
            f"power: with {has} the smallest lone difference between two datasets that is found {corrected} is "
            f"roughly, {'; '.join(told)}: smaller ones would mostly not be seen"
        )
    if design.families < 2 and design.datasets > 1:
        lines.append("power: a single base says nothing of other bases, however many items it is asked")
    if rows := _rows(power, "choice"):
        lines.append(
            "power: the smallest lone difference between two levels of a training choice, such as the method, is about "
            f"{smallest_effects(rows)}"
        )
    if power.correlation is not None and power.correlation > NEARLY_ONE:
        lines.append("power: next to no correlation of a data property with gain could be told from chance")
    elif power.correlation is not None:
        lines.append(f"power: a data property would have to go with gain by |r| = {plain(power.correlation)} or more")
    elif design.datasets > 1:
        lines.append("power: fewer than 4 datasets cannot show which property of the data goes with gain")
    return [*lines, *_assumptions(power)] if lines else []


def _even(power: StudyPower) -> bool:
    """Whether all benchmarks have as many items, which is then said once."""
    return len({one.items for one in power.benchmarks}) == 1


def _rows(power: StudyPower, field: str) -> list[dict[str, object]]:
    even = _even(power)
    return [
        {
            "benchmark": one.benchmark if even else f"{one.benchmark} with {counted(one.items, 'item')}",
            "unit": one.unit,
            "smallest_effect": effect,
        }
        for one in power.benchmarks
        if (effect := getattr(one, field)) is not None
    ]


def _assumptions(power: StudyPower) -> list[str]:
    """What spreads were assumed, once for all benchmarks that share them."""
    by_spread: dict[tuple[Spread, str], list[str]] = {}
    for one in power.benchmarks:
        by_spread.setdefault((one.spread, one.unit), []).append(one.benchmark)
    lines = []
    for (spread, unit), names in by_spread.items():
        scale, shown = (100.0, SHARES[unit]) if unit in SHARES else (1.0, unit)
        lines.append(
            f"power: spreads ({spread.source}) on {listed_briefly(names)}, in {shown}: base by dataset "
            f"{plain(scale * spread.interaction)}, seeds {plain(scale * spread.seed)}, single items "
            f"{plain(scale * spread.item)}"
        )
    return lines

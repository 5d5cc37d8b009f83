"""Sentences on which data helped which benchmark, and how sure that is."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from sftlab.analyse.effects import Effect, Finding
from sftlab.analyse.gain_sets import GainSet
from sftlab.analyse.ranking import ALL_METHODS, LIKE_THESE, THESE, datasets
from sftlab.analyse.verdicts import HIGHER, Row
from sftlab.analyse.wording import amount, counted, counted_range, interval, listed, listed_briefly, spans_zero, spoken

MANY = 8
"""Open benchmarks above which they are counted by who leads."""
FEW = 3
"""Other datasets up to which all of them are named."""
INTERVALS = "intervals"
"""Subject of the sentence that says whom intervals speak of."""
METRIC_KEY = ("benchmark", "scorer", "metric")


@dataclass(frozen=True)
class Contest:
    """The datasets of one benchmark in one metric, best first, and what the best one surely beats, by population.

    `here` is the best dataset's row for the very bases tried, where there is one. `pairs` is how many pairs of datasets
    could be compared, `won` those with a sure winner in the population that the answer is given for.
    """

    key: tuple[str, str, str]
    ranked: tuple[Row, ...]
    here: Row | None
    beaten: dict[str, tuple[str, ...]]
    units: str
    pairs: int
    won: tuple[tuple[str, str], ...]
    coverage: str | None
    """What to say where datasets were not all tried alike."""
    absent: tuple[tuple[str, str], ...]
    """Datasets of the study that are not ranked here, each with why: other recipes, other bases, or no gain."""
    single_items: tuple[str, ...]
    """Bases on which the best dataset's gain is that of a single item, so that the bases tried have no interval."""
    shares_recipe: bool
    """Whether datasets have a recipe in common; where they cannot be ranked all the same, they share no base."""

    @property
    def top(self) -> Row:
        """The row of the best dataset."""
        return self.ranked[0]

    @property
    def comparable(self) -> bool:
        """Whether datasets were tried with a recipe and on a base in common, so that one of them can be the best."""
        return self.top["rank"] is not None

    @property
    def others(self) -> tuple[str, ...]:
        """All datasets but the best."""
        return tuple(str(row["dataset"]) for row in self.ranked[1:])

    @property
    def population(self) -> str:
        """The population that the answer is given for: new bases where more than one was tried."""
        return str(self.top["population"])

    def settled(self, population: str) -> bool:
        """Whether the best dataset surely beats every other, and surely helps, in a population."""
        row = self.top if population == self.population else self.here
        return (
            row is not None
            and self.comparable
            and bool(self.others)
            and set(self.beaten[population]) == set(self.others)
            and not spans_zero(row)
            and self.helped
        )

    @property
    def helped(self) -> bool:
        """Whether the best dataset's mean gain is positive."""
        return bool(self.top["gain"] > 0)

    @property
    def none_helped(self) -> bool:
        """Whether no mean gain is positive; that of the best may not be the largest, where bases differ."""
        return all(row["gain"] <= 0 for row in self.ranked)


def contests(
    sets: Sequence[GainSet], ranking: pl.DataFrame, comparisons: pl.DataFrame, gains: pl.DataFrame
) -> list[Contest]:
    """One contest for each metric that has gains."""
    found: list[Contest] = []
    for gain_set in sets:
        is_key = pl.all_horizontal(pl.col(name) == part for name, part in zip(METRIC_KEY, gain_set.key, strict=True))
        rows = ranking.filter(is_key)
        population = LIKE_THESE if LIKE_THESE in rows["population"] else THESE
        of_all = rows.filter(pl.col("population") == population)
        placed = of_all.drop_nulls("rank")
        ranked = tuple((placed if placed.height else of_all).iter_rows(named=True))
        top = ranked[0]["dataset"]
        pairs = comparisons.filter(is_key)
        sure = pairs.filter(pl.col("verdict") == HIGHER)
        won = sure.filter(pl.col("dataset") == top)
        beaten = {
            name: tuple(won.filter(pl.col("population") == name)["other"].to_list()) for name in (LIKE_THESE, THESE)
        }
        here = rows.filter(
            (pl.col("population") == THESE) & (pl.col("dataset") == top) & pl.col("ci_low").is_not_null()
        )
        of_population = (pl.col("population") == population,)
        found.append(
            Contest(
                key=gain_set.key,
                ranked=ranked,
                here=next(here.iter_rows(named=True), None),
                beaten=beaten,
                units=gain_set.unit_name,
                pairs=pairs.filter(*of_population).height,
                won=tuple(sure.filter(*of_population).select("dataset", "other").iter_rows()),
                coverage=_coverage(gain_set),
                absent=(*_tried_otherwise(gain_set, placed), *_absent(gain_set, gains)),
                single_items=_single_items(gain_set, top),
                shares_recipe=bool(gain_set.rankable),
            )
        )
    return found


def _coverage(gain_set: GainSet) -> str | None:
    """In what the datasets that are ranked were not tried alike; None where they all were."""
    common_R = gain_set.common_recipes
    used, tried = len(np.unique(gain_set.recipes[common_R])), len(np.unique(gain_set.recipes))
    if used == 0:
        return None
    parts = []
    if used < tried:
        parts.append(f"only {counted(used, 'recipe')} of {tried} that all of them were tried with")
    if not gain_set.tried_alike:
        parts.append(
            "not the same bases and recipes for every dataset, so that they are ordered by their differences on those "
            "that each two share"
        )
    return f"counted are {' and '.join(parts)}" if parts else None


def _single_items(gain_set: GainSet, dataset: str) -> tuple[str, ...]:
    """Bases on which a dataset's gain is that of a single item; none where no items are known."""
    if gain_set.pull is None:
        return ()
    bases = gain_set.rows["base"]
    counted_R = gain_set.rows["dataset"].eq(dataset).to_numpy() & (gain_set.common_recipes | (not gain_set.rankable))
    masks = {name: bases.eq(name).to_numpy() & counted_R for name in bases.unique(maintain_order=True)}
    return tuple(name for name, mask_R in masks.items() if mask_R.any() and gain_set.fewest_items_of(mask_R) < 2)


def _tried_otherwise(gain_set: GainSet, placed: pl.DataFrame) -> tuple[tuple[str, str], ...]:
    """Datasets that share no recipe, or no base, with those that are ranked; nothing where none are."""
    ranked = placed["dataset"].to_list()
    return tuple(
        (name, "other bases" if name in gain_set.rankable else "other recipes")
        for name in datasets(gain_set)
        if ranked and name not in ranked
    )


def _absent(gain_set: GainSet, gains: pl.DataFrame) -> tuple[tuple[str, str], ...]:
    here = (pl.col("benchmark") == gain_set.key[0]) & (pl.col("method") == ALL_METHODS)
    missing = gains.filter(here & pl.col("gain").is_null() & ~pl.col("dataset").is_in(datasets(gain_set)))
    by_dataset = missing.unique("dataset", keep="first", maintain_order=True)
    return tuple(by_dataset.select("dataset", "status").iter_rows())


def data_findings(found: Sequence[Contest], sets: Sequence[GainSet]) -> Iterator[Finding]:
    """The answer first, then each benchmark, then what other metrics say, then whom the intervals speak of."""
    main = [contest for contest in found if contest.top["main"]]
    if not main:
        return
    yield Finding("data", _overall(main))
    for contest in main:
        if not contest.comparable:
            yield Finding("data", _unranked(contest), contest.key[0], caveats=_left_out(contest))
            continue
        yield Finding("data", _sentence(contest), contest.key[0], effect=_effect(contest), caveats=_left_out(contest))
        for other in found:
            same_benchmark = other.key[0] == contest.key[0] and other.comparable
            if same_benchmark and other.top["dataset"] != contest.top["dataset"]:
                yield Finding("data", _dissent(other), contest.key[0])
    population = _population(main, next(gain_set for gain_set in sets if gain_set.main))
    yield Finding("data", population, subject=INTERVALS)


def _overall(main: Sequence[Contest]) -> str:
    if not main[0].others and len({contest.top["dataset"] for contest in main}) == 1:
        what = "has a gain so far" if main[0].absent else "has been tried"
        return f"Only {main[0].top['dataset']} {what}: there is nothing to choose between yet."
    which = "Which data, of those scored so far" if any(contest.absent for contest in main) else "Which data"
    if main[0].population == THESE:
        return f"{which}: {_verdict(main, THESE)}."
    if all(contest.here is None for contest in main):
        return (
            f"{which}, for new bases like these ({_units(main[0])} seen): {_verdict(main, LIKE_THESE)}. Of the bases "
            "tried nothing is sure: for none of them are there two items or seeds to take an interval from."
        )
    return (
        f"{which}, for the bases tried: {_verdict(main, THESE)}. "
        f"For new bases like these ({_units(main[0])} seen): {_verdict(main, LIKE_THESE)}."
    )


def _verdict(main: Sequence[Contest], population: str) -> str:
    settled = [f"{contest.top['dataset']} for {contest.key[0]}" for contest in main if contest.settled(population)]
    open_ones = [contest for contest in main if not contest.settled(population)]
    parts = [f"surely best: {listed(settled)}"] if settled else []
    if len(open_ones) > MANY:
        parts.append(f"cannot be told yet for {len(open_ones)} benchmarks ({_tally(open_ones)})")
    elif open_ones:
        named = [f"{contest.key[0]} ({_standing(contest)})" for contest in open_ones]
        parts.append(f"cannot be told yet for {listed(named)}")
    return "; ".join(parts)


def _tally(main: Sequence[Contest]) -> str:
    """Who leads how often, most often first."""
    counts = Counter(_standing(contest) for contest in main)
    return listed([f"{standing} on {count}" for standing, count in counts.most_common()])


def _standing(contest: Contest) -> str:
    if not contest.comparable:
        return "no common base" if contest.shares_recipe else "no common recipe"
    return "nothing helped" if contest.none_helped else f"{contest.top['dataset']} leads"


def _unranked(contest: Contest) -> str:
    """The gains of datasets that have no recipe or no base in common, without an order."""
    gains = [
        f"{row['dataset']} {amount(row['gain'], row['unit'])} {interval(row, row['unit'])}" for row in contest.ranked
    ]
    if contest.shares_recipe:
        return (
            f"On {contest.key[0]}, no two datasets were tried on the same base with the same recipe, so they cannot be "
            f"ranked: their gains, {listed(gains)}, differ by base as well as by data."
        )
    told = [f"{better} is surely better than {other}" for better, other in contest.won]
    if told:
        pairs = f"; of pairs that share one, {listed(told)}"
    elif contest.pairs:
        pairs = "; pairs that share one cannot be told apart"
    else:
        pairs = ""
    return (
        f"On {contest.key[0]}, no recipe (method, learning rate, batch size, samples, schedule, length) is common to "
        f"all datasets, so they cannot be ranked: their gains, {listed(gains)}, differ by recipe as well as by data"
        f"{pairs}."
    )


def _sentence(contest: Contest) -> str:
    top, benchmark = contest.top, contest.key[0]
    n = _n(contest)
    value = f"{amount(top['gain'], top['unit'])} {_of_the_tried(contest)}{interval(top, top['unit'])} ({n})"
    if not contest.others:
        return f"On {benchmark}, {top['dataset']}, the only dataset with a gain, brought {value}{_own(contest)}."
    if contest.none_helped:
        lead = f"On {benchmark}, no dataset helped on average; the best was {top['dataset']} with {value}"
    elif not contest.helped:
        lead = f"On {benchmark}, {top['dataset']} did best where two were tried alike, with {value} on its own bases"
    else:
        lead = f"On {benchmark}, {top['dataset']} helped most: {value}{_own(contest)}"
    return f"{lead}; {_against_others(contest)}."


def _left_out(contest: Contest) -> tuple[str, ...]:
    """What the order of the datasets leaves out, and why there is no interval: caveats that benchmarks may share."""
    coverage = [contest.coverage] if contest.coverage else []
    if contest.single_items:
        bases = f"{listed_briefly(contest.single_items)} {'has' if len(contest.single_items) == 1 else 'have'}"
        coverage.append(f"the bases tried have no interval, as {bases} a single item, of which no spread is known")
    if not contest.absent:
        return tuple(coverage)
    by_reason: dict[str, list[str]] = {}
    for name, reason in contest.absent:
        by_reason.setdefault(reason, []).append(name)
    told = [f"{listed_briefly(names)} ({reason})" for reason, names in by_reason.items()]
    return (*coverage, f"not counted: {listed(told)}")


def _of_the_tried(contest: Contest) -> str:
    """The interval that speaks of the very bases tried, ahead of the one that speaks of new ones."""
    here = contest.here
    if contest.population == THESE or here is None:
        return ""
    return f"for the bases tried {interval(here, here['unit'])} ({_items(here)}), for new ones like these "


def _own(contest: Contest) -> str:
    top = contest.top
    if top["ci_low"] is None:
        return ", too small to tell whether it helps at all"
    where = "there" if _of_the_tried(contest) else "at all"
    return f", whether it helps {where} cannot be told" if spans_zero(top) else ""


def _against_others(contest: Contest) -> str:
    beaten = [name for name in contest.others if name in contest.beaten[contest.population]]
    unsure = [name for name in contest.others if name not in beaten]
    parts = [f"surely better than {listed_briefly(beaten)}"] if beaten else []
    if unsure:
        parts.append(f"{'cannot tell it' if not beaten else 'but cannot tell it'} from {_of_others(contest, unsure)}")
        here = [name for name in unsure if name in contest.beaten[THESE]]
        if here and contest.population == LIKE_THESE:
            parts.append(f"though on the very bases tried it is surely better than {_of_others(contest, here)}")
    return ", ".join(parts)


def _of_others(contest: Contest, names: Sequence[str]) -> str:
    """Some of the other datasets, by name unless they are all of many."""
    if len(names) == len(contest.others) > FEW:
        return f"any of the other {len(names)}"
    return listed_briefly(names)


def _n(contest: Contest) -> str:
    top = contest.top
    cells = counted(top["cells"], "base")
    if contest.population == THESE:
        return f"n = {_items(top)}, {cells}" if top["n"] else f"n = {cells}, {_items(top)}"
    return f"n = {_units(contest)}" if contest.units == "base" else f"n = {_units(contest)}, {cells}"


def _items(row: Row) -> str:
    return counted_range(row["fewest_items"], row["n"], "item") if row["n"] else "items unknown"


def _units(contest: Contest) -> str:
    plural = "base families" if contest.units == "base family" else "bases"
    return counted(contest.top["n"], contest.units, plural)


def _dissent(other: Contest) -> str:
    top = other.top
    value = f"{amount(top['gain'], top['unit'])} {interval(top, top['unit'])}"
    return f"On {other.key[0]} by {spoken(other.key[2])} ({other.key[1]}), {top['dataset']} leads instead: {value}."


def _population(main: Sequence[Contest], gain_set: GainSet) -> str:
    contest, tests = main[0], " Gains are tuned minus base, and positive where the score got better."
    if any(one.pairs for one in main):
        tests += (
            " Where a dataset leads without being surely best, its gain is likely too high, as it was picked for it."
            " Pairs of datasets are compared on the same bases, recipes and items; p-values are corrected by Holm's "
            "method over the pairs of a benchmark and by Benjamini and Hochberg's between benchmarks."
        )
    elif contest.others:
        tests += " No two datasets share a base and a recipe, so none are compared."
    known = any(one.here is not None for one in main)
    if contest.population == LIKE_THESE:
        plural = "base families" if contest.units == "base family" else "bases of one family"
        if not known:
            return f"Intervals speak of new bases like these ({contest.top['n']} {plural}).{tests}"
        return (
            f"Intervals for new ones speak of bases and items like these ({contest.top['n']} {plural}); those for the "
            f"bases tried come {_source(gain_set, 'these bases')}.{tests}"
        )
    if not known:
        return f"With a single base, intervals need paired items or repeated seeds, and there are none here.{tests}"
    return f"With a single base, intervals come {_source(gain_set, 'this base')}.{tests}"


def _source(gain_set: GainSet, tried: str) -> str:
    """Where intervals of the very bases tried come from, and so whom they speak of."""
    if gain_set.seed_variance[1] > 0:
        return f"from paired items and repeated seeds: they speak of {tried} only"
    return f"from paired items alone, as no seed was repeated: they speak of {tried} only, and of these very models"


def _effect(contest: Contest) -> Effect:
    top = contest.top
    unit = contest.units if contest.population == LIKE_THESE else "items"
    return Effect(
        name=f"gain of {top['dataset']} on {contest.key[0]}",
        estimand=f"mean gain after training on {top['dataset']}, over {contest.population}; units: {unit}",
        value=top["gain"],
        se=top["se"],
        ci_low=top["ci_low"],
        ci_high=top["ci_high"],
        n=top["n"],
        unit=top["unit"],
    )

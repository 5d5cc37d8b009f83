"""The answer first: which data helped on which benchmark, and how sure that is."""

import polars as pl

from sftlab.analyse.data_findings import INTERVALS
from sftlab.analyse.power import PAIR, POWERS
from sftlab.report.blocks import SCORER, Block, Column, DataTable, Panel, Prose, Section, Variant
from sftlab.report.figures.gains import gain_forest
from sftlab.report.sections.material import ITEMS_UNKNOWN, Material, counting, table_rows
from sftlab.report.sections.outcomes import (
    Outcome,
    caveats_on,
    found_on,
    general_prose,
    in_shown_units,
    outcomes,
    sure_first,
)
from sftlab.report.sections.power import power_table

RANKING = (
    Column("benchmark", "Benchmark", facet=True),
    Column("rank", "Rank", "integer"),
    Column("dataset", "Dataset", facet=True),
    Column("gain", "Mean gain", "number"),
    Column("ci", "95 % interval", "interval"),
    Column("unit", "Unit"),
    Column("population", "Population", facet=True),
    Column("counted", "n"),
    Column("cells", "Bases", "integer"),
    Column("unranked", "Why it has no rank"),
    SCORER,
)
COMPARISONS = (
    Column("verdict", "How sure", facet=True),
    Column("dataset", "Better dataset", facet=True),
    Column("other", "Against", facet=True, follows="dataset"),
    Column("benchmark", "Benchmark", facet=True),
    Column("difference", "Difference of mean gains", "number"),
    Column("ci", "95 % interval", "interval"),
    Column("unit", "Unit"),
    Column("population", "Population", facet=True),
    Column("counted", "n"),
    Column("p_adjusted", "p, adjusted", "number"),
    SCORER,
)
COUNTS = "base families (bases, where there is one family) for bases like these, and items for these bases"
GENERAL = "bases like these"
OTHER_RECIPES = "tried with other recipes or on other bases than those ranked"
NO_COMMON_RECIPE = "no recipe and base are common to all datasets"


def answer(material: Material) -> Section:
    """A sentence over all benchmarks, how to take it, and datasets ranked by mean gain on each."""
    analysis = material.analysis
    variants = tuple(_ranking(material, outcome) for outcome in outcomes(analysis.ranking, main_only=True))
    general = general_prose(
        analysis, "data", variants, "There is no gain to speak of yet: no tuned model has been scored."
    )
    subjects = {one.text: one.subject for one in analysis.findings if one.section == "data"}
    answers = tuple(text for text in general.sentences if subjects.get(text) is None)
    method = tuple(text for text in general.sentences if subjects.get(text) in {INTERVALS, POWERS})
    state = tuple(text for text in general.sentences if text not in {*answers, *method})
    blocks: list[Block] = [Prose(answers, headline=True)] if answers else []
    blocks += [Prose(state)] if state else []
    if variants:
        note = (
            "Mean gain of each dataset over bases, methods and seeds, best on top; bars and "
            "lines are 95 % intervals. A hollow mark's bar spans zero (or is not known)."
        )
        blocks.append(Panel("ranking", "Mean gain by dataset", "Benchmark", variants, shown="grid", note=note))
        blocks.append(_ranking_table(material))
    pairs = _with_intervals(analysis.comparisons.filter("main"))
    if pairs.height:
        shown = in_shown_units(_counted(material, pairs), "difference", "ci_low", "ci_high")
        title = "Datasets against each other, on the same bases and recipes"
        rows = table_rows(sure_first(shown, "difference"), COMPARISONS)
        note = "Of every benchmark, what is sure comes first."
        blocks.append(DataTable("comparisons", title, COMPARISONS, rows, "comparisons.csv", note=note))
    blocks += [Prose(method)] if method else []
    blocks.extend(power_table(material, pl.col("question") == PAIR, COUNTS))
    return Section("answer", "The answer", "Which data for which benchmark, and how sure?", tuple(blocks))


def _ranking(material: Material, outcome: Outcome) -> Variant:
    shown = _counted(material, outcome.shown(material.analysis.ranking, "gain", "ci_low", "ci_high"))
    ranked = _ranked(with_reasons(shown))
    figure = gain_forest(ranked.rename({"gain": "value"}), outcome.shown_unit, material.palette)
    sentences = found_on(material.analysis, "data", outcome.benchmark)
    caveats = (*caveats_on(material.analysis, "data", outcome.benchmark), *_behind(ranked), _legend(ranked))
    return Variant(outcome.benchmark, figure, sentences, outcome.detail, outcome.facets, caveats)


def _counted(material: Material, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of a `population` with a column `counted`: families for bases like these, else items.

    Items are a range where bases have different numbers of them, and unknown where none are known.
    """
    of_families, of_items = counting(rows, *material.units), counting(rows, "item", "items")
    items = pl.col("items_counted")
    if "fewest_items" in rows.columns:
        uneven = pl.col("fewest_items") < pl.col("n")
        items = pl.when(uneven).then(pl.format("{} to {}", "fewest_items", items)).otherwise(items)
    items = pl.when(pl.col("n") == 0).then(pl.lit(ITEMS_UNKNOWN)).otherwise(items)
    general = pl.col("population") == GENERAL
    both = of_families.with_columns(items_counted=of_items["counted"])
    return both.with_columns(counted=pl.when(general).then("counted").otherwise(items)).drop("items_counted")


def with_reasons(ranking: pl.DataFrame) -> pl.DataFrame:
    """The frame `ranking` with a column `unranked`: why a dataset has no rank, null where it has one."""
    of_metric = pl.col("rank").is_not_null().any().over("benchmark", "scorer", "metric")
    reason = pl.when(of_metric).then(pl.lit(OTHER_RECIPES)).otherwise(pl.lit(NO_COMMON_RECIPE))
    return ranking.with_columns(unranked=pl.when(pl.col("rank").is_null()).then(reason))


def _behind(ranked: pl.DataFrame) -> tuple[str, ...]:
    """Why datasets stand behind the others without a rank."""
    reasons = ranked["unranked"]
    if reasons.null_count() == ranked.height:
        return ()
    if reasons.null_count() == 0:
        return (f"None is ranked: {NO_COMMON_RECIPE}.",)
    return (f"Behind the ranked stand datasets that were {OTHER_RECIPES}.",)


def _ranking_table(material: Material) -> DataTable:
    main = with_reasons(_with_intervals(material.analysis.ranking.filter("main")))
    shown = in_shown_units(_counted(material, main), "gain", "ci_low", "ci_high")
    columns = tuple(one for one in RANKING if one.name != "unranked" or main["unranked"].null_count() < main.height)
    note = "Means over bases and recipes, best first."
    return DataTable("means", "All mean gains", columns, table_rows(shown, columns), "ranking.csv", note=note)


def _with_intervals(rows: pl.DataFrame) -> pl.DataFrame:
    """Without the bases tried where nothing is known to take an interval of them from, as in tables without items."""
    general = pl.col("population") == GENERAL
    known = rows.filter(~general)["ci_low"].count() > 0 or rows.filter(general).is_empty()
    return rows if known else rows.filter(general)


def _ranked(rows: pl.DataFrame) -> pl.DataFrame:
    """A row a dataset, with the interval for the very bases of the study, and the one for bases like these beside it.

    Where only bases like these have intervals, those are the only ones.
    """
    general = rows.filter(pl.col("population") == GENERAL)
    these = rows.filter(pl.col("population") != GENERAL)
    if these["ci_low"].is_not_null().sum() == 0:
        return general if general.height else rows
    wider = general.select("dataset", wider_low="ci_low", wider_high="ci_high")
    return these.join(wider, on="dataset", how="left")


def _legend(ranked: pl.DataFrame) -> str:
    if "wider_low" in ranked.columns and ranked["wider_low"].is_not_null().any():
        return "Thick bars: for the bases tried. Thin lines: for new bases like these."
    tried = ranked["population"][0] != GENERAL
    return f"Bars: {'for the bases tried only' if tried else 'for new bases like these'}."

"""The answer first: which data helped on which benchmark, and how sure that is."""

import polars as pl

from sftlab.report.blocks import Block, Column, DataTable, Panel, Prose, Section, Variant
from sftlab.report.figures.gains import gain_forest
from sftlab.report.sections.material import Material, table_rows
from sftlab.report.sections.outcomes import Outcome, found_on, general_prose, outcomes

COMPARISONS = (
    Column("benchmark", "Benchmark", facet=True),
    Column("population", "Population", facet=True),
    Column("dataset", "Better dataset", facet=True),
    Column("other", "Against", facet=True),
    Column("difference", "Difference of mean gains", "number"),
    Column("unit", "Unit"),
    Column("ci", "95 % interval", "interval"),
    Column("n", "n", "integer"),
    Column("p_adjusted", "p, adjusted", "number"),
    Column("verdict", "Verdict", facet=True),
)
GENERAL = "bases like these"


def answer(material: Material) -> Section:
    """A sentence over all benchmarks, then datasets ranked by mean gain on each."""
    analysis = material.analysis
    variants = tuple(_ranking(material, outcome) for outcome in outcomes(analysis.ranking, main_only=True))
    general = general_prose(
        analysis, "data", variants, "There is no gain to speak of yet: no tuned model has been scored."
    )
    blocks: list[Block] = [Prose(general.sentences, headline=True)] if general.sentences else []
    if variants:
        note = (
            "Mean gain of each dataset over bases, methods and seeds, best on top; bars and "
            "lines are 95 % intervals. A hollow mark's bar spans zero (or is not known)."
        )
        blocks.append(Panel("ranking", "Mean gain by dataset", "Benchmark", variants, shown="grid", note=note))
    pairs = analysis.comparisons.filter("main")
    if pairs.height:
        rows = table_rows(pairs, COMPARISONS)
        title = "Datasets against each other, on the same bases and recipes"
        blocks.append(DataTable("comparisons", title, COMPARISONS, rows, "comparisons.csv"))
    return Section("answer", "The answer", "Which data for which benchmark, and how sure?", tuple(blocks))


def _ranking(material: Material, outcome: Outcome) -> Variant:
    shown = outcome.shown(material.analysis.ranking, "gain", "ci_low", "ci_high")
    ranked = _ranked(shown)
    figure = gain_forest(ranked.rename({"gain": "value"}), outcome.shown_unit, material.palette)
    sentences = found_on(material.analysis, "data", outcome.benchmark)
    return Variant(outcome.benchmark, figure, (*sentences, _legend(ranked)), outcome.detail, outcome.facets)


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

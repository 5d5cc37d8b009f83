"""Which property of the data goes with the gain."""

import polars as pl

from sftlab.report.blocks import Block, Column, DataTable, Panel, Section, Variant
from sftlab.report.figures.drawing import SURE
from sftlab.report.figures.properties import correlation_forest, property_scatter
from sftlab.report.sections.material import Material, table_rows
from sftlab.report.sections.outcomes import Outcome, found_on, general_prose, outcomes
from sftlab.report.text import interval, signed

CORRELATIONS = (
    Column("property", "Property", facet=True),
    Column("benchmark", "Benchmark", facet=True),
    Column("metric", "Metric", facet=True),
    Column("scope", "Scope", facet=True),
    Column("kind", "Kind", facet=True),
    Column("correlation", "Correlation", "number"),
    Column("ci", "95 % interval", "interval"),
    Column("n", "n (clusters)", "integer"),
    Column("cells", "Cells", "integer"),
    Column("p_adjusted", "p, adjusted", "number"),
    Column("verdict", "Verdict", facet=True),
)
SHOWN = (pl.col("scope") == "within") & (pl.col("kind") == "pearson")


def data(material: Material) -> Section:
    """Correlations of every measured property with gain, and the cells behind them."""
    analysis = material.analysis
    variants = [
        _scatter(material, outcome, name)
        for outcome in outcomes(analysis.property_points, main_only=True)
        for name in outcome.rows(analysis.property_points)["property"].unique(maintain_order=True)
    ]
    forests = tuple(_forest(material, outcome) for outcome in outcomes(analysis.properties, main_only=True))
    nothing = "No property of the data can be set against a gain yet."
    blocks: list[Block] = [general_prose(analysis, "properties", (*forests, *variants), nothing)]
    if forests:
        note = (
            "Pearson correlation over family x dataset cells, centred by family; bars are 95 % intervals. "
            "Hollow: cannot be told from zero after correction for the number of questions."
        )
        blocks.append(Panel("correlations", "Correlation with gain", "Benchmark", forests, shown="grid", note=note))
    if variants:
        note = "One mark a base and dataset; the gain is the mean over methods and seeds."
        blocks.append(Panel("points", "Data property against gain", "Property", tuple(variants), note=note))
    if analysis.properties.height:
        rows = table_rows(analysis.properties, CORRELATIONS)
        blocks.append(DataTable("table", "All correlations", CORRELATIONS, rows, "properties.csv"))
    return Section("data", "Data", "Which property of the data goes with the gain?", tuple(blocks))


def _forest(material: Material, outcome: Outcome) -> Variant:
    rows = outcome.rows(material.analysis.properties).filter(SHOWN)
    told = rows.filter(pl.col("verdict").is_in(SURE))["property"].to_list()
    otherwise = (
        f"Told from zero after correction for the number of questions: {', '.join(told)}."
        if told
        else "No correlation can be told from zero after correction for the number of questions."
    )
    found = found_on(material.analysis, "properties", outcome.benchmark) or (otherwise,)
    figure = correlation_forest(rows.rename({"correlation": "value"}))
    return Variant(outcome.benchmark, figure, found, outcome.detail, outcome.facets)


def _scatter(material: Material, outcome: Outcome, name: str) -> Variant:
    points = outcome.shown(material.analysis.property_points, "gain").filter(pl.col("property") == name)
    named = name.replace("_", " ")
    drawn = points.rename({"value": "property_value"})
    figure = property_scatter(drawn, named, outcome.shown_unit, material.palette)
    found = found_on(material.analysis, "properties", outcome.benchmark, name)
    label = f"{named} and {outcome.benchmark}"
    said = found or (_correlation(material, outcome, name),)
    return Variant(label, figure, said, outcome.detail, outcome.facets)


def _correlation(material: Material, outcome: Outcome, name: str) -> str:
    rows = outcome.rows(material.analysis.properties).filter(SHOWN, pl.col("property") == name)
    for row in rows.drop_nulls("correlation").iter_rows(named=True):
        return (
            f"Correlation within bases {signed(row['correlation'])} ({interval(row['ci_low'], row['ci_high'])}, "
            f"n = {row['n']} clusters): {row['verdict'] or 'too small to tell'}."
        )
    return "The study is too small to tell whether the two go together."

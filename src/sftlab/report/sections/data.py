"""Which property of the data goes with the gain."""

import polars as pl

from sftlab.analyse.power import PROPERTY
from sftlab.report.blocks import SCORER, Block, Column, DataTable, Panel, Section, Variant
from sftlab.report.figures.drawing import SURE
from sftlab.report.figures.properties import behind_forest, correlation_forest, property_scatter
from sftlab.report.sections.material import Material, counting, table_rows
from sftlab.report.sections.outcomes import Outcome, caveats_on, found_on, general_prose, outcomes, sure_first
from sftlab.report.sections.power import power_table
from sftlab.report.text import interval, signed

CORRELATIONS = (
    Column("verdict", "How sure", facet=True),
    Column("property", "Property", facet=True),
    Column("benchmark", "Benchmark", facet=True),
    Column("correlation", "Correlation", "number"),
    Column("ci", "95 % interval", "interval"),
    Column("scope", "Scope", facet=True),
    Column("kind", "Kind", facet=True),
    Column("n", "n (datasets or bases)", "integer"),
    Column("cells", "Cells", "integer"),
    Column("p_adjusted", "p, adjusted", "number"),
    Column("metric", "Metric", facet=True),
    SCORER,
)
PARTIAL = (
    Column("verdict", "How sure", facet=True),
    Column("property", "Property", facet=True),
    Column("benchmark", "Benchmark", facet=True),
    Column("correlation", "Partial correlation", "number"),
    Column("ci", "95 % interval", "interval"),
    Column("scope", "Scope", facet=True),
    Column("given", "Given", facet=True),
    Column("n", "n (datasets or bases)", "integer"),
    Column("cells", "Cells", "integer"),
    Column("p_adjusted", "p, adjusted", "number"),
    Column("metric", "Metric", facet=True),
    SCORER,
)
STRONGEST = (
    Column("in_set", "May be the strongest", facet=True),
    Column("property", "Property", facet=True),
    Column("benchmark", "Benchmark", facet=True),
    Column("correlation", "Correlation within bases", "number"),
    Column("behind", "Behind the strongest", "number"),
    Column("ci", "95 % interval", "interval"),
    Column("n", "n (datasets)", "integer"),
    Column("led", "Leads with a dataset left out", "number"),
    Column("metric", "Metric", facet=True),
    SCORER,
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
    partial = tuple(_partial_forest(material, outcome) for outcome in outcomes(_partials(material), main_only=True))
    if partial:
        note = (
            "Correlation of what is left of property and gain within bases once response length is accounted for; bars "
            "are 95 % intervals. Hollow: cannot be told from zero."
        )
        blocks.append(Panel("partial", "Correlation given length", "Benchmark", partial, shown="grid", note=note))
    compared = analysis.strongest_property.filter(pl.col("in_set").is_not_null())
    strongest = tuple(_strongest_forest(material, outcome) for outcome in outcomes(compared, main_only=True))
    if strongest:
        note = (
            "How much closer the strongest property goes with gain within bases than each of the others; bars are 95 % "
            "intervals over datasets. Hollow: some other property, the strongest or not, is surely stronger."
        )
        title = "Which property is the strongest"
        blocks.append(Panel("strongest", title, "Benchmark", strongest, shown="grid", note=note))
    if variants:
        note = "One mark a base and dataset; the gain is the mean over methods and seeds."
        blocks.append(Panel("points", "Data property against gain", "Property", tuple(variants), note=note))
    if analysis.properties.height:
        rows = table_rows(sure_first(_spoken(analysis.properties), "correlation"), CORRELATIONS)
        blocks.append(DataTable("table", "All correlations", CORRELATIONS, rows, "properties.csv"))
    if analysis.partial_correlations.height:
        rows = table_rows(sure_first(_spoken(analysis.partial_correlations), "correlation"), PARTIAL)
        title = "Correlations given the base's score and the length"
        blocks.append(DataTable("partial-table", title, PARTIAL, rows, "partial_correlations.csv"))
    if analysis.strongest_property.height:
        may_be = pl.when("in_set").then(pl.lit("yes")).when(~pl.col("in_set")).then(pl.lit("no"))
        rows = table_rows(_spoken(analysis.strongest_property).with_columns(in_set=may_be), STRONGEST)
        title = "How far each property is behind the strongest"
        blocks.append(DataTable("strongest-table", title, STRONGEST, rows, "strongest_property.csv"))
    blocks.extend(power_table(material, pl.col("question") == PROPERTY, "datasets"))
    return Section("data", "Data", "Which property of the data goes with the gain?", tuple(blocks))


def _spoken(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with their properties named as figures and sentences name them."""
    return rows.with_columns(pl.col("property").str.replace_all("_", " "))


def _forest(material: Material, outcome: Outcome) -> Variant:
    rows = outcome.rows(material.analysis.properties).filter(SHOWN)
    told = rows.filter(pl.col("verdict").is_in(SURE))["property"].str.replace_all("_", " ").to_list()
    otherwise = (
        f"Told from zero after correction for the number of questions: {', '.join(told)}."
        if told
        else "No correlation can be told from zero after correction for the number of questions."
    )
    found = found_on(material.analysis, "properties", outcome.benchmark) or (otherwise,)
    figure = correlation_forest(counting(rows.rename({"correlation": "value"}), "dataset", "datasets"))
    caveats = caveats_on(material.analysis, "properties", outcome.benchmark)
    return Variant(outcome.benchmark, figure, found, outcome.detail, outcome.facets, caveats)


def _partials(material: Material) -> pl.DataFrame:
    """Partial correlations within bases that are known."""
    return material.analysis.partial_correlations.filter(pl.col("scope") == "within").drop_nulls("correlation")


def _partial_forest(material: Material, outcome: Outcome) -> Variant:
    rows = outcome.rows(_partials(material))
    told = rows.filter(pl.col("verdict").is_in(SURE))["property"].str.replace_all("_", " ").to_list()
    found = (
        f"Told from zero given length, after correction for the number of questions: {', '.join(told)}."
        if told
        else "Given length, no correlation can be told from zero after correction for the number of questions."
    )
    figure = correlation_forest(counting(rows.rename({"correlation": "value"}), "dataset", "datasets"))
    return Variant(outcome.benchmark, figure, (found,), outcome.detail, outcome.facets)


def _strongest_forest(material: Material, outcome: Outcome) -> Variant:
    rows = outcome.rows(material.analysis.strongest_property)
    inside = rows.filter("in_set")["property"].to_list()
    found = f"With 95 % confidence the strongest is {'' if len(inside) == 1 else 'one of '}{', '.join(inside)}."
    if 1 < len(inside) == rows.height:
        found = f"Any of the {rows.height} may be the strongest: with 95 % confidence none can be left out."
    return Variant(outcome.benchmark, behind_forest(rows), (found.replace("_", " "),), outcome.detail, outcome.facets)


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
            f"n = {row['n']} datasets): {row['verdict'] or 'too small to tell'}."
        )
    return "The study is too small to tell whether the two go together."

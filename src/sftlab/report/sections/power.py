"""What the design of a study could have seen, as a table beside the sentence that says so."""

import polars as pl

from sftlab.analyse.power import seen
from sftlab.analyse.wording import plain
from sftlab.report.blocks import SCORER, Column, DataTable
from sftlab.report.sections.material import Material, table_rows

COLUMNS = (
    Column("benchmark", "Benchmark", facet=True),
    Column("effect", "Found from"),
    Column("n", "n", "integer"),
    Column("question", "Question", facet=True),
    Column("population", "Population", facet=True),
    Column("questions", "Questions asked together", "integer"),
    SCORER,
)
WITHIN_REACH = (
    "The smallest effect that a design like this finds in 4 of 5 studies, were it the only one, corrected for all "
    "questions that are asked together: what is smaller was likely missed."
)


def power_table(material: Material, wanted: pl.Expr, counted: str) -> tuple[DataTable, ...]:
    """The smallest effects of the questions that `wanted` picks from the frame `power`, of main metrics; none, none.

    `counted` says what n counts.
    """
    rows = material.analysis.power.filter(wanted, pl.col("main"), pl.col("smallest_effect").is_not_null())
    if rows.is_empty():
        return ()
    effects = [_found_from(effect, unit) for effect, unit in rows.select("smallest_effect", "unit").iter_rows()]
    told = rows.with_columns(effect=pl.Series(effects, dtype=pl.String()))
    columns = tuple(
        column
        for column in COLUMNS
        if column.name not in {"question", "population"} or told[column.name].drop_nulls().n_unique() > 1
    )
    note = f"{WITHIN_REACH} n counts {counted}."
    title = "What this design could have seen"
    return (DataTable("power", title, columns, table_rows(told, columns), "power.csv", note=note),)


def _found_from(effect: float, unit: str) -> str:
    return f"|r| = {plain(effect)}" if unit == "correlation" else seen(effect, unit)

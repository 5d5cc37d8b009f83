"""What every section is built from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from sftlab.analyse.analysis import Analysis
from sftlab.analyse.verdicts import HIGHER, LOWER
from sftlab.report.blocks import Cell, Column
from sftlab.report.context import ReportContext
from sftlab.report.palette import Palette

VERDICTS = {HIGHER: "surely higher", LOWER: "surely lower"}
"""How verdicts read in a table; the others are words already."""
ITEMS_UNKNOWN = "unknown number of items"


@dataclass(frozen=True)
class Material:
    """The analysis, the contract tables, the context and the colours of one page."""

    analysis: Analysis
    tables: Mapping[str, pl.DataFrame]
    context: ReportContext
    palette: Palette

    @property
    def units(self) -> tuple[str, str]:
        """What effects over bases count, as one and as several: families, or bases where all are of one family."""
        runs = self.table("runs")
        alone = "family" in runs.columns and runs["family"].n_unique() == 1
        return ("base", "bases") if alone else ("base family", "base families")

    def table(self, name: str) -> pl.DataFrame:
        """A contract table; empty where there is none yet."""
        return self.tables.get(name, pl.DataFrame())


def counting(frame: pl.DataFrame, one: str, several: str) -> pl.DataFrame:
    """A frame with a column `counted`: its `n` with what that counts, as one and as several."""
    noun = pl.when(pl.col("n") == 1).then(pl.lit(one)).otherwise(pl.lit(several))
    return frame.with_columns(counted=pl.format("{} {}", pl.col("n"), noun))


def table_rows(frame: pl.DataFrame, columns: Sequence[Column]) -> tuple[tuple[Cell, ...], ...]:
    """The rows of a frame for a table of the page; a column the frame does not have is unknown.

    An interval called `x` is made of the columns `x_low` and `x_high`; verdicts are worded.
    """
    present = set(frame.columns)
    if "verdict" in present:
        frame = frame.with_columns(pl.col("verdict").replace(VERDICTS))
    expressions = [
        pl.concat_list(f"{column.name}_low", f"{column.name}_high").alias(column.name)
        if column.kind == "interval" and {f"{column.name}_low", f"{column.name}_high"} <= present
        else (pl.col(column.name) if column.name in present else pl.lit(None)).alias(column.name)
        for column in columns
    ]
    return tuple(frame.select(expressions).iter_rows())

"""Every score, to sort, filter and take away."""

import polars as pl

from sftlab.analyse.intervals import NORMAL_QUANTILE
from sftlab.report.blocks import Column, DataTable, Prose, Section
from sftlab.report.sections.material import Material, table_rows
from sftlab.report.text import counted

AT_MOST = 20_000
COLUMNS = (
    Column("base", "Base", facet=True),
    Column("dataset", "Dataset", facet=True),
    Column("method", "Method", facet=True),
    Column("epoch", "Epoch", "integer", facet=True),
    Column("benchmark", "Benchmark", facet=True),
    Column("value", "Value", "number"),
    Column("ci", "95 % interval", "interval"),
    Column("n", "n (items)", "integer"),
    Column("gain", "Gain", "number"),
    Column("gain_ci", "95 % interval of gain", "interval"),
    Column("unparsed", "Unparsed", "integer"),
    Column("status", "Status", facet=True),
    Column("reason", "Reason"),
    Column("metric", "Metric", facet=True),
    Column("scorer", "Scorer", facet=True),
    Column("samples", "Samples", "integer", facet=True),
    Column("schedule", "Schedule", facet=True),
    Column("seed", "Seed", "integer", facet=True),
)


DRIFT = Column("noise", "Drift in other batches", "number")


def scores(material: Material) -> Section:
    """The table `scores` with its intervals, and beside them how far scores move in other batches."""
    frame = material.table("scores")
    question = "One row per checkpoint, benchmark, scorer and metric; the base itself has dataset none and epoch 0."
    if frame.is_empty():
        return Section("scores", "All scores", question, (Prose(("There are no scores yet.",)),))
    drift = _drift(frame)
    place = next(place for place, column in enumerate(COLUMNS) if column.name == "n")
    columns = (*COLUMNS[:place], DRIFT, *COLUMNS[place:]) if drift else COLUMNS
    rows = table_rows(frame.head(AT_MOST), columns)
    note = "n counts items that fit the context. Gain is oriented so that positive is better."
    if frame.height > AT_MOST:
        note += f" These are the first {AT_MOST:,} of {counted(frame.height, 'row')}; the table `scores` has them all."
    table = DataTable("all", "Scores", columns, rows, "scores.csv", note=note, page_rows=25)
    return Section("scores", "All scores", question, (Prose((drift,)), table) if drift else (table,))


def _drift(frame: pl.DataFrame) -> str:
    """How far scores move when the same items are asked in other batches, in a sentence; empty where none is known."""
    if not {"noise", "ci_low", "ci_high"} <= set(frame.columns):
        return ""
    known = frame.drop_nulls(["noise", "ci_low", "ci_high"])
    half = (known["ci_high"] - known["ci_low"]) / 2
    shares = (NORMAL_QUANTILE * known["noise"] / half).filter(half > 0)
    if shares.is_empty():
        return ""
    return (
        "Computed in bfloat16, a score depends a little on which items share a batch: asked again one by one, "
        f"{counted(known.height, 'score')} would move by the standard deviation in the column Drift. That adds to the "
        f"95 % intervals, which are over items: it reaches {_percent(shares.median())} of an interval's half width in "
        f"the median and {_percent(shares.max())} at most."
    )


def _percent(share: object) -> str:
    assert isinstance(share, float)
    return f"{100 * share:.2g} %"

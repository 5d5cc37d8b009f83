"""Every score, to sort, filter and take away."""

from sftlab.report.blocks import Column, DataTable, Prose, Section
from sftlab.report.sections.material import Material, table_rows
from sftlab.report.text import counted

AT_MOST = 20_000
COLUMNS = (
    Column("base", "Base", facet=True),
    Column("dataset", "Dataset", facet=True),
    Column("method", "Method", facet=True),
    Column("samples", "Samples", "integer", facet=True),
    Column("schedule", "Schedule", facet=True),
    Column("epoch", "Epoch", "integer", facet=True),
    Column("seed", "Seed", "integer", facet=True),
    Column("benchmark", "Benchmark", facet=True),
    Column("scorer", "Scorer", facet=True),
    Column("metric", "Metric", facet=True),
    Column("value", "Value", "number"),
    Column("ci", "95 % interval", "interval"),
    Column("n", "n (items)", "integer"),
    Column("gain", "Gain", "number"),
    Column("gain_ci", "95 % interval of gain", "interval"),
    Column("unparsed", "Unparsed", "integer"),
    Column("status", "Status", facet=True),
    Column("reason", "Reason"),
)


def scores(material: Material) -> Section:
    """The table `scores` with its intervals."""
    frame = material.table("scores")
    question = "One row per checkpoint, benchmark, scorer and metric; the base itself has dataset none and epoch 0."
    if frame.is_empty():
        return Section("scores", "All scores", question, (Prose(("There are no scores yet.",)),))
    rows = table_rows(frame.head(AT_MOST), COLUMNS)
    note = "n counts items that fit the context. Gain is oriented so that positive is better."
    if frame.height > AT_MOST:
        note += f" These are the first {AT_MOST:,} of {counted(frame.height, 'row')}; the table `scores` has them all."
    return Section(
        "scores",
        "All scores",
        question,
        (DataTable("all", "Scores", COLUMNS, rows, "scores.csv", note=note, page_rows=25),),
    )

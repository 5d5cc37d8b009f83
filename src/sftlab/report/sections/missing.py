"""What failed, did not fit, or was not run yet, with reasons."""

import polars as pl

from sftlab.report.blocks import SCORER, Block, Cell, Column, DataTable, Prose, Section
from sftlab.report.sections.material import Material
from sftlab.report.text import counted

AT_MOST = 5000
COLUMNS = (
    Column("cell", "Cell", facet=True),
    Column("status", "Status", facet=True),
    Column("reason", "Reason"),
    Column("base", "Base", facet=True),
    Column("dataset", "Dataset", facet=True),
    Column("method", "Method", facet=True),
    Column("samples", "Samples", "integer"),
    Column("epoch", "Epoch", "integer"),
    Column("seed", "Seed", "integer"),
    Column("benchmark", "Benchmark", facet=True),
    SCORER,
    Column("cells", "Cells", "integer"),
)
NOT_RUN = "not run yet"
COLUMN_NAMES = [column.name for column in COLUMNS]
STATUS_ORDER = ("failed", "unfit", "running", "pending")


def missing(material: Material) -> Section:
    """Every run and score without a result; failures first."""
    rows = [*_rows(material.table("runs"), "run"), *_rows(material.table("scores"), "score")]
    order = {status: place for place, status in enumerate(STATUS_ORDER)}
    rows.sort(key=lambda row: order.get(str(row[1]), len(order)))
    blocks: list[Block] = []
    if material.table("runs").is_empty() and material.table("scores").is_empty():
        blocks.append(Prose(("The study has no runs and no scores to be missed.",)))
    elif not rows:
        blocks.append(Prose(("Nothing is missing: every run and every score of the study is done.",)))
    else:
        blocks.append(Prose(_summary(rows)))
        folded = _folded(rows)
        note = f"The first {AT_MOST:,} of {len(folded):,} rows." if len(folded) > AT_MOST else ""
        blocks.append(
            DataTable("cells", "Cells without a result", COLUMNS, tuple(folded[:AT_MOST]), "missing.csv", note=note)
        )
    question = "No cell is left out silently: each has a status and a reason."
    return Section("missing", "What is missing", question, tuple(blocks))


def _rows(frame: pl.DataFrame, cell: str) -> list[tuple[Cell, ...]]:
    if frame.is_empty():
        return []
    names = [column.name for column in COLUMNS[1:-1]]
    absent = frame.filter(pl.col("status") != "done")
    if cell == "run" and "epochs" in absent.columns:
        absent = absent.with_columns(pl.col("epochs").alias("epoch"))
    known = absent.with_columns(pl.lit(None).alias(name) for name in names if name not in absent.columns)
    return [(cell, *row) for row in known.select(names).unique(maintain_order=True).iter_rows()]


def _folded(rows: list[tuple[Cell, ...]]) -> list[tuple[Cell, ...]]:
    """Cells that only wait are one row for all seeds and benchmarks of a recipe; the others have a row each."""
    within = [COLUMN_NAMES.index(name) for name in ("seed", "benchmark", "scorer")]
    alike: dict[tuple[Cell, ...], list[tuple[Cell, ...]]] = {}
    for row in rows:
        waits = row[1] == "pending"
        key = tuple(None if waits and place in within else cell for place, cell in enumerate(row))
        alike.setdefault(key, []).append(row)
    folded = []
    for group in alike.values():
        shown: list[Cell] = [cells[0] if len(set(cells)) == 1 else None for cells in zip(*group, strict=True)]
        shown[2] = shown[2] or (NOT_RUN if shown[1] == "pending" else None)
        folded.append((*shown, len(group)))
    return folded


def _summary(rows: list[tuple[Cell, ...]]) -> tuple[str, ...]:
    sentences = []
    for cell in ("run", "score"):
        by_status = {
            status: sum(row[0] == cell and row[1] == status for row in rows)
            for status in dict.fromkeys([*STATUS_ORDER, *(str(row[1]) for row in rows)])
        }
        parts = [f"{count:,} {status}" for status, count in by_status.items() if count]
        if parts:
            total = sum(by_status.values())
            sentences.append(f"{counted(total, cell)} without a result: {', '.join(parts)}.")
    reasons: dict[str, int] = {}
    for row in rows:
        if row[1] in ("failed", "unfit") and row[2]:
            reasons[str(row[2])] = reasons.get(str(row[2]), 0) + 1
    for reason, count in sorted(reasons.items(), key=lambda entry: -entry[1])[:3]:
        sentences.append(f"{counted(count, 'cell')}: {reason}")
    return tuple(sentences)

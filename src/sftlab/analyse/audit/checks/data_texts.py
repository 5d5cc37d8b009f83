"""What is wrong with the texts that models were trained on: templates, copies between datasets, benchmark questions.

The texts themselves are no table: these checks read the frame `data_checks`, one row for each thing that was found.
"""

from collections.abc import Iterator

import polars as pl

from sftlab.analyse.audit.finding import AuditFinding, Severity, Tables
from sftlab.analyse.wording import counted, listed_briefly

DATA_CHECKS = {
    "check": pl.String(),
    "dataset": pl.String(),
    "other": pl.String(),
    "count": pl.Int64(),
    "of": pl.Int64(),
    "example": pl.String(),
}
"""`count` examples of the dataset (of a contamination: items of the benchmark `other`) out of `of`; the first one."""
TEMPLATE, SHARED, CONTAMINATION = "baked_template", "shared_examples", "contamination"
MUCH = 0.01


def baked_template(tables: Tables) -> Iterator[AuditFinding]:
    """Datasets whose text holds a chat or instruction template."""
    for row in _rows(tables, TEMPLATE):
        yield AuditFinding(
            check=TEMPLATE,
            severity=_severity(row),
            text=f"{_share(row, 'example')} of {row['dataset']} hold a template in their text",
            why="the study's template is put around another one, and the model learns to write the marks of the inner",
            advice="take the template out of the file, or say which column is the prompt",
            rows=_frame(row),
        )


def shared_examples(tables: Tables) -> Iterator[AuditFinding]:
    """Pairs of datasets that hold the same examples, or nearly."""
    for row in _rows(tables, SHARED):
        yield AuditFinding(
            check=SHARED,
            severity=_severity(row),
            text=f"{_share(row, 'example')} of {row['dataset']} stand in {row['other']} too, or nearly",
            why="two datasets that share examples are not two: their gains are alike for that, and a mixture of both "
            "holds them twice",
            advice="take them out of one, or count both as one",
            rows=_frame(row),
        )


def contaminated_benchmarks(tables: Tables) -> Iterator[AuditFinding]:
    """Benchmarks whose questions stand in training data."""
    rows = list(_rows(tables, CONTAMINATION))
    for benchmark in dict.fromkeys(row["other"] for row in rows):
        found = [row for row in rows if row["other"] == benchmark]
        worst = max(found, key=lambda row: int(str(row["count"])))
        others = [str(row["dataset"]) for row in found if row is not worst]
        also = f"; some also in {listed_briefly(others)}" if others else ""
        yield AuditFinding(
            check=CONTAMINATION,
            severity=_severity(worst),
            text=f"{_share(worst, 'item')} of {benchmark} stand in the training set {worst['dataset']}{also}",
            why="a model may have learned their answers, which is no ability: gains on this benchmark may be too high",
            advice="see the table `contaminated_items`; leave these items or these examples out",
            rows=pl.concat([_frame(row) for row in found]),
        )


def _rows(tables: Tables, check: str) -> Iterator[dict[str, object]]:
    frame = tables.get("data_checks")
    if frame is not None:
        yield from frame.filter((pl.col("check") == check) & (pl.col("count") > 0)).iter_rows(named=True)


def _severity(row: dict[str, object]) -> Severity:
    return "warning" if _fraction(row) >= MUCH else "note"


def _fraction(row: dict[str, object]) -> float:
    return int(str(row["count"])) / max(1, int(str(row["of"])))


def _share(row: dict[str, object], noun: str) -> str:
    return f"{counted(int(str(row['count'])), noun)} of {row['of']} ({100 * _fraction(row):.1f} %)"


def _frame(row: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame([row], schema=DATA_CHECKS)

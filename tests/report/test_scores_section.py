"""Scores with their intervals, and how far they move in other batches beside them."""

from datetime import datetime

import polars as pl

from sftlab.report.context import ReportContext
from sftlab.report.palette import palette
from sftlab.report.sections.material import Material
from sftlab.report.sections.scores import scores

from .synthetic import synthetic_tables
from .synthetic_analysis import synthetic_analysis


def section_of(frame):
    tables = synthetic_tables() | {"scores": frame}
    context = ReportContext("s", datetime(2025, 3, 1))
    return scores(Material(synthetic_analysis(tables), tables, context, palette(tables)))


def test_drift_stands_beside_the_intervals_where_it_was_measured():
    known = pl.col("value").is_not_null()
    frame = synthetic_tables()["scores"].with_columns(
        ci_low=pl.when(known).then(pl.col("value") - 0.0392), ci_high=pl.when(known).then(pl.col("value") + 0.0392)
    )
    drift = pl.when(known & (pl.int_range(pl.len()) == pl.arg_where(known).first())).then(0.004).otherwise(0.002)
    section = section_of(frame.with_columns(noise=pl.when(known).then(drift)))
    prose, table = section.blocks
    assert "reaches 10 % of an interval's half width in the median and 20 % at most" in prose.sentences[0]
    names = [column.name for column in table.columns]
    assert names[names.index("value") :][:4] == ["value", "ci", "noise", "n"]
    drifts = [row[names.index("noise")] for row in table.rows]
    assert drifts.count(0.004) == 1
    assert drifts.count(0.002) == frame["value"].count() - 1


def test_without_drift_there_is_no_word_of_it():
    (table,) = section_of(synthetic_tables()["scores"]).blocks
    assert "noise" not in [column.name for column in table.columns]

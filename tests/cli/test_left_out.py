"""Items that no model of a base was scored on are told."""

from pathlib import Path

import polars as pl
from typer.testing import CliRunner

from sftlab.analyse.schemas import SCORES, from_rows
from sftlab.cli import app
from sftlab.cli.analyse import left_out_lines
from sftlab.store.imported import ImportedStudy, write_imported_study


def test_items_too_long_for_a_base_are_told_once_a_benchmark() -> None:
    row = {"benchmark": "boolq", "base": "b", "dataset": "none", "main": True, "unfit": 4, "n": 16}
    others = [{**row, "main": False}, {**row, "dataset": "d"}, {**row, "base": "c", "unfit": 0, "n": 20}]
    said = left_out_lines(pl.DataFrame([row, *others]))
    assert said == ["Left out of every score on boolq, too long: 4 of 20 items for b."]
    both = left_out_lines(pl.DataFrame([row, {**row, "base": "c", "unfit": 1, "n": 19}]))
    assert both == ["Left out of every score on boolq, too long: 4 of 20 items for b and 1 of 20 items for c."]


def test_table_of_scores_says_what_of_it_no_analysis_rests_on(tmp_path: Path) -> None:
    one = {"checkpoint": "a", "base": "a", "dataset": "none", "benchmark": "boolq", "scorer": "likelihood"}
    one |= {"metric": "accuracy", "value": 1.5, "status": "done"}
    tuned = {**one, "checkpoint": "a-d-e1", "run": "a/d", "dataset": "d", "value": 0.7, "gain": -0.8}
    study = ImportedStudy("s", {"scores": from_rows([one, tuned], SCORES)})
    write_imported_study(study, tmp_path / "s")
    told = CliRunner().invoke(app, ["table", str(tmp_path / "s"), "scores"])
    assert told.exit_code == 0
    assert told.stderr.startswith("note: analyses leave out 1 value and 1 gain of this table: 1 value of accuracy")
    assert told.stdout.count("\n") == 3
    assert "note" not in told.stdout


def test_table_of_sound_scores_says_nothing(tmp_path: Path) -> None:
    row = {"checkpoint": "a", "base": "a", "dataset": "none", "benchmark": "boolq", "scorer": "likelihood"}
    scores = from_rows([{**row, "metric": "accuracy", "value": 0.5, "status": "done"}], SCORES)
    write_imported_study(ImportedStudy("s", {"scores": scores}), tmp_path / "s")
    assert CliRunner().invoke(app, ["table", str(tmp_path / "s"), "scores"]).stderr == ""

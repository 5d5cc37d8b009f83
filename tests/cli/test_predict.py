"""`sftlab predict` on an import, from the command line to its output."""

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from sftlab.cli import app
from sftlab.cli.predict import MOST_ROWS, print_predictions, with_something_expected
from sftlab.predict.frames import SCHEMAS
from tests.predict.test_predicting import made_scores


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> str:
    """An import in which one base has not tried two datasets."""
    folder = tmp_path_factory.mktemp("predict")
    made_scores(3, holes=((1, "math"), (1, "list"))).write_parquet(folder / "scores.parquet")
    words = ["import", "scores", str(folder / "scores.parquet"), "--to", str(folder / "study")]
    assert CliRunner().invoke(app, words).exit_code == 0
    return str(folder / "study")


def test_predictions_are_printed_with_skill_first(study: str) -> None:
    told = CliRunner().invoke(app, ["predict", study, "--benchmark", "mmlu"])
    assert told.exit_code == 0, told.stderr
    lines = told.stdout.splitlines()
    assert lines[0].startswith("For a new base family two datasets are ordered rightly in")
    assert any(line.startswith("Try next for 基底-1 on mmlu: math") for line in lines)
    rows = [line.split() for line in lines if line.startswith("基底-1")]
    assert [(row[2], row[3]) for row in rows] == [
        ("math", "expected"),
        ("chat", "seen"),
        ("code", "seen"),
        ("тексты", "seen"),
        ("list", "expected"),
    ]
    assert rows[0][-3:] == ["<-", "try", "next"]


def test_json_has_both_frames(study: str) -> None:
    told = json.loads(CliRunner().invoke(app, ["predict", study, "--base", "基底-1", "--json"]).stdout)
    assert {row["dataset"] for row in told["predictions"] if not row["tried"]} == {"math", "list"}
    assert {row["question"] for row in told["prediction_skill"]} == {"new_base", "gap"}
    assert set(told["predictions"][0]) == set(SCHEMAS["predictions"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--base", "x"], "no base 'x'"),
        (["--dataset", "x"], "no dataset 'x'"),
        (["--method", "x"], "no run of this study"),
    ],
)
def test_unknown_names_are_refused_in_one_sentence(study: str, words: list[str], said: str) -> None:
    told = CliRunner().invoke(app, ["predict", study, *words])
    assert told.exit_code != 0
    assert said in str(told.exception)


def test_what_was_seen_is_shown_where_something_is_expected_beside_it() -> None:
    rows = [("b", "k", True, 0.5), ("b", "k", False, 0.4), ("c", "k", True, 0.5), ("c", "k", False, None)]
    frame = pl.DataFrame(rows, schema=["base", "benchmark", "tried", "gain"], orient="row")
    assert with_something_expected(frame)["base"].to_list() == ["b", "b"]


def test_many_predictions_are_cut_and_counted(capsys) -> None:
    row = {"base": "b", "benchmark": "k", "tried": False, "gain": 0.5, "ci_low": 0.25, "ci_high": 0.75}
    row |= {"expected_improvement": 0.5, "try_next": False, "unit": "accuracy"}
    rows = [{**row, "dataset": f"d{index:04}"} for index in range(MOST_ROWS + 34)]
    print_predictions(pl.DataFrame(rows))
    said = capsys.readouterr().out
    assert sum("+50 points of accuracy  [+25, +75]" in line for line in said.splitlines()) == MOST_ROWS
    assert "34 more" in said

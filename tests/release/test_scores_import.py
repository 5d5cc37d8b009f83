"""Any tidy table of scores becomes a study."""

import json

import polars as pl
import pytest
from typer.testing import CliRunner

import sftlab
from sftlab.cli import app
from sftlab.errors import DataError
from sftlab.release.imports.scores import ScoreColumns, tidy_scores

LONG = pl.DataFrame(
    {
        "base": ["A", "A", "A", "B", "B"],
        "dataset": ["none", "math", "chat", "none", "math"],
        "benchmark": ["gsm8k"] * 5,
        "value": [0.2, 0.5, 0.1, 0.4, 0.6],
        "n": [100] * 5,
        "metric": ["accuracy"] * 5,
    }
)


def study_of(frame, **columns):
    return tidy_scores(frame, ScoreColumns(**{"named": {}, **columns}), name="made", origin={})


def first_changed(column, value):
    return LONG.with_columns(pl.Series(column, [value, *LONG[column].to_list()[1:]], strict=False))


def gains(study):
    frame = study.tables["scores"].filter(pl.col("gain").is_not_null())
    return {(row["base"], row["dataset"], row["benchmark"]): row["gain"] for row in frame.to_dicts()}


def test_long_table_has_gains_over_its_bases():
    found = gains(study_of(LONG))
    expected = {("A", "math"): 0.3, ("A", "chat"): -0.1, ("B", "math"): 0.2}
    assert {key[:2]: value for key, value in found.items()} == pytest.approx(expected)


def test_shares_of_counted_items_get_wilsons_interval():
    row = study_of(LONG).tables["scores"].filter(pl.col("dataset") == "math", pl.col("base") == "A").row(0, named=True)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((0.4038, 0.5962), abs=1e-4)


def test_wide_table_in_percent_is_the_same_as_long_in_shares():
    wide = pl.DataFrame(
        {"model": ["A", "A"], "data": ["pretrain", "math"], "gsm8k": [20.0, 50.0], "mmlu": [30.0, None]}
    )
    study = study_of(wide, named={"base": "model", "dataset": "data"}, benchmarks=("gsm8k", "mmlu"), percent=True)
    assert gains(study) == pytest.approx({("A", "math", "gsm8k"): 0.3})
    missing = study.tables["scores"].filter(pl.col("status") == "failed")
    assert missing.select("dataset", "benchmark").rows() == [("math", "mmlu")]


@pytest.mark.parametrize("missing", [float("nan"), None])
def test_a_value_that_is_no_number_is_missing_and_says_so(missing):
    row = study_of(first_changed("value", missing)).tables["scores"].row(0, named=True)
    assert (row["status"], row["value"], row["reason"]) == ("failed", None, "the file has no value here")


def test_lower_is_better_where_the_metric_says_so():
    bits = LONG.with_columns(metric=pl.lit("bits_per_byte"))
    assert gains(study_of(bits))["A", "math", "gsm8k"] == pytest.approx(-0.3)


def test_epochs_of_a_run_are_its_checkpoints():
    frame = pl.DataFrame(
        {"base": ["A"] * 3, "dataset": ["none", "math", "math"], "benchmark": ["x"] * 3, "value": [0.1, 0.2, 0.4]}
    ).with_columns(epoch=pl.Series([0, 1, 2]), method=pl.lit("lora"))
    runs = study_of(frame).tables["runs"]
    assert runs.select("run", "scored_epoch", "adapter").rows() == [("A-math-lora", 2, "lora")]


@pytest.mark.parametrize(
    ("frame", "columns", "said"),
    [
        (LONG.drop("value"), {}, "which column is the value"),
        (LONG.to_dict(as_series=False), {}, "is a frame of polars, got <class 'dict'>"),
        (LONG, {"named": {"bsae": "base"}}, "no column 'bsae' of scores"),
        (LONG, {"named": {"base": "modle"}}, "the file has no column 'modle'"),
        (
            pl.concat([LONG, LONG]).with_columns(size=1),
            {},
            r"two rows are the score of A.*`--column samples=THEIRS` \(or method, .*\), where THEIRS is one of size$",
        ),
        (LONG.with_columns(value=pl.lit("good")), {}, "scores are numbers"),
        (LONG.head(0).cast(pl.String), {}, "the file has columns and no rows"),
        (first_changed("value", "41%"), {}, "the row of base A, dataset none, benchmark gsm8k has '41%'"),
        (first_changed("value", float("inf")), {}, "value is finite, .* has inf"),
        (first_changed("base", None), {}, "every score has a base: the row of base nothing, dataset none"),
        (first_changed("n", -5), {}, "n is 1 or more, .* has -5"),
        (LONG.with_columns(seed=pl.lit("first")), {}, "the column 'seed' holds numbers: .* has 'first'"),
        (LONG.with_columns(se=pl.lit(-0.1)), {}, "se is 0 or more"),
        (LONG.with_columns(family=pl.Series(["a", "a", "z", "b", "b"])), {}, "A is of a and z"),
        (LONG, {"base_rows": ("pretrain",)}, "no dataset is called 'pretrain'; the file has chat, math, none"),
    ],
)
def test_wrong_table_is_refused_in_a_sentence(frame, columns, said):
    with pytest.raises(DataError, match=said):
        study_of(frame, **columns)


def test_command_and_library_give_the_same_scores(tmp_path):
    path = tmp_path / "results.csv"
    LONG.rename({"base": "model_name"}).write_csv(path)
    words = ["import", "scores", str(path), "--column", "base=model_name", "--to", str(tmp_path / "study"), "--json"]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0
    assert json.loads(told.stdout)["rows"] == {"runs": 3, "scores": 5}
    results = sftlab.open(tmp_path / "study")
    assert results.scores().height == 5
    assert results.runs().height == 3
    assert results.items().is_empty()
    assert results.analysis.ranking.height > 0


def test_what_was_assumed_of_metrics_is_said_with_the_nearest_known_one():
    assert any("no metric is named" in note for note in study_of(LONG.drop("metric")).notes)
    (note,) = study_of(LONG.with_columns(metric=pl.lit("accuracyy"))).notes[1:2]
    assert note.startswith("the metric 'accuracyy' is not known (did you mean 'accuracy'?)")
    assert not any("metric" in note for note in study_of(LONG).notes)


def test_shares_read_as_percentages_are_doubted():
    assert any("no value exceeds 1 (the largest is 0.6)" in note for note in study_of(LONG, percent=True).notes)
    percent = LONG.with_columns(pl.col("value") * 100)
    assert not any("exceeds" in note for note in study_of(percent, percent=True).notes)


def test_missing_values_are_counted():
    assert "1 score is missing in the file" in study_of(first_changed("value", None)).notes
    assert not any("missing" in note for note in study_of(LONG).notes)


@pytest.mark.parametrize("kind", ["scores", "massive-sft"])
def test_two_columns_called_alike_are_refused(tmp_path, kind):
    (tmp_path / "a.csv").write_text("base,dataset,benchmark,value,value\nA,none,x,1,2\n")
    with pytest.raises(DataError, match="has 2 columns called 'value': give each a name of its own"):
        CliRunner().invoke(app, ["import", kind, str(tmp_path / "a.csv")], catch_exceptions=False)

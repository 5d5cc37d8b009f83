"""Contract tables: every cell a row, values that can be computed by hand, nothing invented for what is missing."""

import json
import math
import time
from dataclasses import replace

import polars as pl
import pytest

from sftlab.analyse.schemas import SCORES
from sftlab.analyse.tables import TABLES, build_tables, table
from sftlab.errors import StudyError
from sftlab.store import Failure, Record, Store
from tests.analyse.synthetic import Design, make_cells, write

CONTRACT = {
    "runs": "run base family dataset samples method adapter learning_rate schedule epochs seed precision status reason "
    "tokens steps loss_first loss_last wall_seconds peak_memory_bytes device",
    "checkpoints": "checkpoint run epoch num_bytes path",
    "scores": "checkpoint run base family dataset samples method schedule epoch seed benchmark scorer metric value n "
    "se ci_low ci_high unparsed gain gain_ci_low gain_ci_high status reason",
    "items": "checkpoint benchmark item scorer score log_likelihood num_bytes answer parsed",
    "losses": "run step epoch loss learning_rate grad_norm tokens",
    "validation": "run epoch loss bits_per_byte n",
    "data": "base dataset samples seed property value n ci_low ci_high",
    "layers": "checkpoint layer depth part relative_change",
}


@pytest.mark.parametrize("name", CONTRACT)
def test_table_begins_with_the_columns_of_the_contract(name, planted_tables):
    columns = CONTRACT[name].split()
    assert planted_tables[name].columns[: len(columns)] == columns
    assert planted_tables[name].height > 0


def test_unknown_table_names_the_legal_ones(planted_study):
    with pytest.raises(StudyError, match=r"'no_such_table'.*runs, checkpoints, scores"):
        table("no_such_table", *planted_study)


def test_no_table_holds_nan(planted_tables):
    for name, frame in planted_tables.items():
        for column in frame.select(pl.col(pl.Float64)).iter_columns():
            assert not column.drop_nulls().is_nan().any(), (name, column.name)


def test_scores_has_a_row_for_every_cell(planted_study, planted_tables):
    cells, _ = planted_study
    scores = planted_tables["scores"]
    assert set(scores["identity"]) == {cell.identity for cell in cells.scores}
    assert scores.height == len(cells.scores)
    base = scores.filter(pl.col("run").is_null())
    assert base["dataset"].unique().to_list() == ["none"]
    assert base["epoch"].unique().to_list() == [0]
    assert base["gain"].null_count() == base.height
    assert scores.filter(pl.col("run").is_not_null())["gain"].null_count() == 0


def test_bits_per_byte_pools_bytes_and_gain_is_base_minus_tuned(planted_tables):
    row = planted_tables["scores"].filter(benchmark="arithmetic_test", epoch=2).row(0, named=True)
    items = planted_tables["items"].filter(benchmark="arithmetic_test")
    tuned = items.filter(checkpoint=row["checkpoint"])
    base_checkpoint = planted_tables["scores"].filter(base=row["base"], epoch=0)["checkpoint"][0]
    base = items.filter(checkpoint=base_checkpoint)
    value, base_value = (
        -frame["log_likelihood"].sum() / math.log(2) / frame["num_bytes"].sum() for frame in (tuned, base)
    )
    assert row["value"] == pytest.approx(value)
    assert row["gain"] == pytest.approx(base_value - value)
    assert row["higher_is_better"] is False
    assert (row["n"], row["gain_n"], row["unfit"], row["strata"]) == (150, 150, 0, 2)
    assert row["gain_ci_low"] < row["gain"] < row["gain_ci_high"]


def test_paired_interval_is_narrower_than_unpaired(planted_tables):
    rows = planted_tables["scores"].filter(benchmark="arithmetic_test", epoch=2)
    assert (rows["gain_se"] < rows["se"] / 3).all()


def test_accuracy_is_the_mean_and_gain_is_tuned_minus_base(planted_tables):
    scores = planted_tables["scores"].filter(benchmark="facts_quiz")
    row = scores.filter(epoch=2, dataset="facts").row(0, named=True)
    items = planted_tables["items"].filter(benchmark="facts_quiz", checkpoint=row["checkpoint"])
    base_value = scores.filter(base=row["base"], epoch=0)["value"][0]
    assert row["value"] == pytest.approx(items["score"].mean())
    assert row["gain"] == pytest.approx(row["value"] - base_value)
    assert row["unparsed"] is None


def test_unparsed_answers_are_counted(planted_tables):
    rows = planted_tables["scores"].filter(benchmark="free_answers")
    items = planted_tables["items"].filter(benchmark="free_answers")
    counted = items.group_by("checkpoint").agg(unread=(~pl.col("parsed")).sum())
    joined = rows.join(counted, on="checkpoint")
    assert (joined["unparsed"] == joined["unread"]).all()
    assert joined["unparsed"].min() > 0


def test_empty_store_gives_pending_rows_without_values(tmp_path):
    cells = make_cells(Design(bases=1, seeds=1))
    tables = build_tables(cells, Store(tmp_path))
    for name, count in (("runs", len(cells.runs)), ("scores", len(cells.scores))):
        assert tables[name]["status"].to_list() == ["pending"] * count
    assert tables["scores"]["value"].null_count() == len(cells.scores)
    assert tables["data"]["status"].unique().to_list() == ["pending"]
    assert set(tables["data"]["property"]) >= {"response_perplexity", "response_bits_per_byte"}
    assert tables["losses"].is_empty()
    assert list(tables["scores"].columns) == list(SCORES)


def test_failed_run_gives_its_reason_to_its_scores(tmp_path):
    design = Design(bases=1, seeds=1, failed_datasets=("facts",), pending_datasets=("chat",))
    tables = build_tables(*write(design, tmp_path))
    failed = tables["runs"].filter(dataset="facts")
    assert failed["status"].unique().to_list() == ["failed"]
    assert "out of memory" in failed["reason"][0]
    assert failed["tokens"].null_count() == failed.height
    scores = tables["scores"].filter(dataset="facts")
    assert scores["status"].unique().to_list() == ["failed"]
    assert scores["reason"][0].startswith("not trained: out of memory")
    assert set(scores["metric"]) == {"bits_per_byte", "accuracy", "exact_match"}
    assert tables["scores"].filter(dataset="chat")["reason"].unique().to_list() == ["not trained yet"]


def test_trained_run_without_scores_says_that_it_is_not_scored(tmp_path):
    cells, store = write(Design(bases=1, datasets=("facts",), methods=("full",), seeds=1, items=2), tmp_path / "whole")
    trained = Store(tmp_path / "trained")
    record = store.record(cells.runs[0].identity)
    trained.commit(record)
    scores = table("scores", cells, trained)
    assert scores["status"].unique().to_list() == ["pending"]
    assert scores["reason"].unique().to_list() == ["not scored yet"]


def test_unfit_scores_have_no_value_and_say_why(tmp_path):
    scores = build_tables(*write(Design(bases=1, seeds=1, unfit=True), tmp_path))["scores"]
    assert scores["status"].unique().to_list() == ["unfit"]
    assert scores["reason"].unique().to_list() == ["no item fits"]
    assert scores["value"].null_count() == scores.height
    assert scores["n"].unique().to_list() == [0]
    assert scores["unfit"].unique().to_list() == [150]


def test_one_item_has_a_value_without_standard_error(tmp_path):
    scores = build_tables(*write(Design(bases=1, seeds=1, items=1), tmp_path))["scores"]
    assert scores["value"].null_count() == 0
    assert scores["se"].null_count() == scores.height
    assert scores["gain_se"].null_count() == scores.height
    bits = scores.filter(benchmark="arithmetic_test")
    assert bits["ci_low"].null_count() == bits.height


def test_gain_is_paired_on_the_items_that_both_have(tmp_path):
    cells = make_cells(
        Design(bases=1, datasets=("facts",), methods=("full",), seeds=1, epochs=1, benchmarks=("facts_quiz",))
    )
    store = Store(tmp_path)
    base, tuned = cells.scores
    store.commit(Record(base.identity, "score", {}, {"status": "done"}, {"items": graded("abcd", [0, 0, 1, None])}))
    store.commit(Record(tuned.identity, "score", {}, {"status": "done"}, {"items": graded("dcba", [1, 1, None, 1])}))
    row = table("scores", cells, store).filter(epoch=1).row(0, named=True)
    assert (row["value"], row["n"], row["unfit"]) == (1.0, 3, 1)
    assert (row["gain"], row["gain_n"]) == (0.5, 2)


def test_reason_counts_what_its_own_metric_is_without(tmp_path):
    cells = make_cells(Design(bases=1, datasets=(), methods=("full",), seeds=1, epochs=1, benchmarks=("facts_quiz",)))
    store, (base,) = Store(tmp_path), cells.scores
    whole = graded("abcd", [0, 0, 1, 1]).with_columns(metric=pl.lit("other"), reason=pl.lit(None, dtype=pl.String))
    part = graded("abcd", [0, None, 1, None]).with_columns(
        reason=pl.Series([None, "too long", None, "no verdict can be read"]),
        status=pl.Series(["done", "unfit", "done", "failed"]),
    )
    said = {"status": "done", "reason": "2 of 4 items are missing"}
    store.commit(Record(base.identity, "score", {}, said, {"items": pl.concat([part, whole], how="diagonal")}))
    scores = table("scores", cells, store)
    assert dict(scores.select("metric", "reason").iter_rows()) == {
        "accuracy": "1 of 4 items is left out, item b: too long; 1 of 4 items have no verdict: no verdict can be read",
        "other": None,
    }


def graded(items, scores):
    return pl.DataFrame(
        {
            "item": list(items),
            "scorer": ["likelihood"] * len(items),
            "metric": ["accuracy"] * len(items),
            "score": [None if score is None else float(score) for score in scores],
            "status": ["unfit" if score is None else "done" for score in scores],
        }
    )


def test_a_later_success_hides_the_failure(tmp_path):
    design = Design(bases=1, datasets=("facts",), methods=("full",), seeds=1)
    cells, store = write(design, tmp_path)
    store.commit_failure(Failure(cells.runs[0].identity, "train", "killed", ""))
    assert table("runs", cells, store)["status"].to_list() == ["done"]


def test_rate_with_the_lowest_validation_loss_is_chosen(tmp_path):
    tables = build_tables(*write(Design(bases=1, seeds=2, rates=(1e-5, 1e-4, 1e-3), items=5), tmp_path))
    chosen = tables["runs"].filter(pl.col("chosen"))
    assert chosen["learning_rate"].unique().to_list() == [1e-4]
    assert chosen.height * 3 == tables["runs"].height
    assert tables["scores"].filter(pl.col("chosen") & (pl.col("epoch") > 0))["learning_rate"].unique().to_list() == [
        1e-4
    ]


def test_rates_are_undecided_before_any_is_measured(tmp_path):
    cells = make_cells(Design(bases=1, rates=(1e-4, 1e-3)))
    assert set(table("runs", cells, Store(tmp_path))["chosen"]) == {False}


def test_nothing_is_chosen_where_there_is_one_candidate(tmp_path):
    cells = make_cells(Design(bases=1))
    assert table("runs", cells, Store(tmp_path))["chosen"].null_count() == len(cells.runs)


def test_checkpoint_path_is_given_only_where_weights_are(tmp_path):
    cells, store = write(Design(bases=1, datasets=("facts",), methods=("full",), seeds=1, items=2), tmp_path)
    assert table("checkpoints", cells, store)["path"].to_list() == [None]
    folder = store.checkpoint_folder(cells.runs[0].identity, 2)
    folder.mkdir(parents=True)
    row = table("checkpoints", cells, store).row(0, named=True)
    assert (row["path"], row["num_bytes"], row["epoch"]) == (str(folder), 1000, 2)


def test_two_thousand_scores_take_seconds_also_where_runs_share_their_identity(tmp_path):
    design = Design(
        bases=1, datasets=("facts",), methods=("full",), seeds=1, epochs=1, items=200, benchmarks=("facts_quiz",)
    )
    cells, store = write(design, tmp_path)
    run, (base, tuned) = cells.runs[0], cells.scores
    names = [f"{run.spec.run}/{place}" for place in range(2000)]
    runs = tuple(replace(run, spec=run.spec.model_copy(update={"run": name})) for name in names)
    many = replace(cells, runs=runs, scores=(base, *(replace(tuned, run=name) for name in names)))
    start = time.process_time()
    scores = table("scores", many, store)
    assert time.process_time() - start < 20
    assert scores.height == 2001
    assert scores["gain"].drop_nulls().n_unique() == 1


def test_tables_can_be_written_as_json(planted_tables):
    for name in TABLES:
        rows = planted_tables[name].head(3).to_dicts()
        assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_validation_interval_is_student_over_examples_in_bits_per_byte_like_its_standard_error(planted_tables):
    row = planted_tables["validation"].row(0, named=True)
    assert row["loss"] != row["bits_per_byte"]
    assert row["ci_high"] == pytest.approx(row["bits_per_byte"] + 2.0930240544 * row["se"])
    assert row["ci_low"] == pytest.approx(row["bits_per_byte"] - 2.0930240544 * row["se"])


def test_intervals_of_code_lengths_and_counts_end_at_zero(tmp_path):
    design = Design(bases=1, datasets=("facts",), methods=("full",), seeds=1, items=2, benchmarks=())
    cells, store = write(design, tmp_path / "whole")
    short = Store(tmp_path / "short")
    for cell, name in ((cells.runs[0], "validation"), *((measure, "properties") for measure in cells.measures)):
        rows = store.rows(cell.identity, name)
        if name == "validation":
            wide = rows.with_columns(se=pl.lit(1.0), bits_per_byte=pl.lit(1.0))
        else:
            wide = rows.with_columns(ci_low=pl.col("ci_low") - 5)
        short.commit(Record(cell.identity, "train", {}, {}, {name: wide}))
    validation, data = table("validation", cells, short), table("data", cells, short)
    assert validation["ci_low"].unique().to_list() == [0.0]
    assert validation["ci_high"].to_list() == pytest.approx([1 + 2.0930240544] * 3)
    assert data.filter(property="response_bits_per_byte")["ci_low"].to_list() == [0.0]
    assert data.filter(property="response_tokens")["ci_low"].min() > 20

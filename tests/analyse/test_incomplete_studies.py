"""What is said of studies that are small, half done, or where little could be scored."""

from dataclasses import replace

import polars as pl

from sftlab.analyse.answers import analysis, answer_lines
from sftlab.analyse.frames import SCHEMAS
from sftlab.analyse.ranking import LIKE_THESE, THESE
from sftlab.store import Record, Store
from tests.analyse.synthetic import (
    BENCHMARKS,
    Design,
    answers,
    make_cells,
    only,
    replace_rows,
    source_of_intervals,
    write,
)


def test_empty_store_says_that_nothing_can_be_said(tmp_path):
    found = analysis(make_cells(Design()), Store(tmp_path))
    assert found.sentences("data")[0] == "Nothing can be said yet: there is no run so far."
    assert "64 are not done (64 pending)" in found.sentences("data")[1]
    for name in set(SCHEMAS) - {"gains"}:
        assert getattr(found, name).is_empty(), name
    assert set(found.gains["status"]) == {"pending"}
    assert answer_lines(found)


def test_missing_base_scores_leave_gains_unknown_with_a_reason(tmp_path):
    design = Design(bases=2, seeds=1, items=20)
    cells, store = write(design, tmp_path)
    without = Store(tmp_path / "other")
    for cell in cells.scores:
        record, rows = store.record(cell.identity), store.rows(cell.identity, "items")
        if cell.run is not None:
            without.commit(replace_rows(record, rows))
    found = analysis(cells, without)
    assert found.gains["gain"].null_count() == found.gains.height
    assert "Nothing can be said yet" in found.sentences("data")[0]


def test_half_done_study_answers_with_what_is_there(tmp_path):
    found = answers(tmp_path, pending_datasets=("chat",), failed_datasets=("code",), seeds=1)
    assert "arithmetic for arithmetic_test" in found.sentences("data")[2]
    cells = found.gains.filter(dataset="code", method="all")
    assert set(cells["status"]) == {"failed"}
    assert cells["reason"].str.contains("out of memory").all()
    assert found.gains.filter(dataset="chat")["gain"].null_count() == found.gains.filter(dataset="chat").height
    assert set(found.ranking["dataset"]) == {"arithmetic", "facts"}
    assert "of those scored so far" in found.sentences("data")[2]
    assert "Not counted: code (failed) and chat (pending)." in found.sentences("data", benchmark="facts_quiz")[0]
    assert "most often: out of memory" in found.sentences("data")[0]
    assert "of 32 runs" not in found.sentences("data")[0]
    assert "16 are not done" in found.sentences("data")[0]


def test_dataset_tried_on_one_base_only_is_ranked_without_an_interval(tmp_path):
    cells, store = write(Design(bases=2, seeds=1, methods=("full",), items=20), tmp_path)
    lost = {cell.spec.run for cell in cells.runs if cell.spec.dataset == "arithmetic" and cell.spec.base == "base1"}
    kept = tuple(cell for cell in cells.scores if cell.run not in lost)
    found = analysis(replace(cells, scores=kept), store)
    row = only(found.ranking, benchmark="arithmetic_test", dataset="arithmetic", population=LIKE_THESE)
    assert (row["rank"], row["n"], row["ci_low"]) == (1, 1, None)
    assert "too small to tell" in found.sentences("data", benchmark="arithmetic_test")[0]


def test_one_base_speaks_of_itself_only(tmp_path):
    found = answers(tmp_path, bases=1, base_spread=0.0)
    assert set(found.ranking["population"]) == {THESE}
    first = only(found.ranking, benchmark="arithmetic_test", rank=1)
    assert (first["dataset"], first["n"]) == ("arithmetic", 150)
    assert first["ci_low"] <= 0.5 <= first["ci_high"]
    assert "this base only" in source_of_intervals(found)
    assert "arithmetic for arithmetic_test" in found.sentences("data")[0]
    assert found.comparisons.filter(benchmark="arithmetic_test", dataset="arithmetic", verdict="higher").height == 3


def test_one_base_without_repeated_seeds_speaks_of_these_models(tmp_path):
    found = answers(tmp_path, bases=1, seeds=1, items=30)
    assert "these very models" in source_of_intervals(found)
    assert found.seed_noise["sd"].null_count() == found.seed_noise.height


def test_one_dataset_has_nothing_to_choose_between(tmp_path):
    found = answers(tmp_path, datasets=("arithmetic",), seeds=1, items=30)
    assert "Only arithmetic has been tried" in found.sentences("data")[0]
    assert found.comparisons.is_empty()
    assert set(found.properties["verdict"]) == {"too small to tell"}
    assert all("1 dataset cannot show" in sentence for sentence in found.sentences("properties"))


def test_one_item_gives_no_certainty(tmp_path):
    found = answers(tmp_path, bases=1, items=1, seeds=1)
    assert found.ranking["ci_low"].null_count() == found.ranking.height
    assert "higher" not in set(found.comparisons["verdict"])
    assert "surely best" not in found.sentences("data")[0]


def test_identical_scores_are_no_finding(tmp_path):
    cells = make_cells(Design(bases=3, seeds=1, epochs=1, items=10))
    store = Store(tmp_path)
    for cell in cells.scores:
        scorer, metric = BENCHMARKS[cell.benchmark.name]
        items = pl.DataFrame(
            {
                "item": [f"i{place}" for place in range(10)],
                "scorer": scorer,
                "metric": metric,
                "score": [1.0, 0.0] * 5,
                "log_likelihood": -3.0,
                "num_bytes": 4,
                "status": "done",
            }
        )
        store.commit(Record(cell.identity, "score", {}, {"status": "done"}, {"items": items}))
    found = analysis(cells, store)
    assert found.ranking["gain"].unique().to_list() == [0.0]
    assert set(found.comparisons["verdict"]) == {"cannot tell"}
    assert set(found.gains["verdict"]) == {"cannot tell"}
    accuracy = found.ranking.filter(metric="accuracy")
    assert (accuracy["ci_low"] < 0).all()
    assert set(found.training["verdict"]) == {"cannot tell"}


def test_intervals_of_shares_stay_within_what_shares_can_be(tmp_path):
    found = answers(tmp_path, bases=2, seeds=1, items=4, base_spread=0.4, datasets=("facts", "code"))
    for frame, value in ((found.ranking, "gain"), (found.comparisons, "difference"), (found.training, "difference")):
        shares = frame.filter(metric="accuracy")
        assert shares.height > 0
        assert (shares["ci_low"] >= -1).all()
        assert (shares["ci_high"] <= 1).all()
        assert ((shares["ci_low"] <= shares[value]) & (shares[value] <= shares["ci_high"])).all()


def analysis_of_uneven_bases(tmp_path, *, fewest):
    """The answers of a study of 30 items, of which as many as `fewest` fit base1."""
    cells, store = write(Design(bases=2, seeds=1, items=30, datasets=("facts", "code")), tmp_path / "whole")
    partly = Store(tmp_path / "partly")
    for cell in cells.scores:
        kept = fewest if cell.base == "base1" else 30
        rows = store.rows(cell.identity, "items").with_row_index()
        fits = pl.when(pl.col("index") < kept).then(pl.col("status")).otherwise(pl.lit("unfit"))
        partly.commit(replace_rows(store.record(cell.identity), rows.with_columns(status=fits).drop("index")))
    return analysis(cells, partly)


def test_base_with_a_single_item_is_named_where_there_is_no_interval_for_it(tmp_path):
    found = analysis_of_uneven_bases(tmp_path, fewest=1)
    assert (
        found.ranking.filter(population=THESE)["ci_low"].null_count() == found.ranking.filter(population=THESE).height
    )
    why = "the bases tried have no interval, as base1 has a single item"
    assert any(why in sentence.lower() for sentence in found.sentences("data"))


def test_items_are_counted_where_the_base_has_them(tmp_path):
    found = analysis_of_uneven_bases(tmp_path, fewest=10)
    for base, items in (("base0", 30), ("base1", 10)):
        assert found.gains.filter(base=base)["items"].unique().to_list() == [items]
    for frame in (found.ranking, found.comparisons):
        assert frame.filter(population=THESE)["fewest_items"].unique().to_list() == [10]
    assert not any("a single item" in sentence for sentence in found.sentences("data"))
    assert "(10 to 30 items)" in found.sentences("data", benchmark="facts_quiz")[0]


def test_everything_unfit_says_so(tmp_path):
    found = answers(tmp_path, bases=2, seeds=1, items=5, unfit=True)
    assert found.sentences("data")[0].startswith("Nothing can be said: ")
    assert found.sentences("data")[1].endswith("(102 unfit); most often: no item fits.")
    assert set(found.gains["status"]) == {"unfit"}
    assert any("unfit" in sentence for sentence in found.sentences("data"))

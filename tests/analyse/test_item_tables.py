"""Items as a table make the same intervals as items in a store."""

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from sftlab.analyse.gain_sets import gain_sets, item_influences
from sftlab.analyse.item_tables import influences_of_items
from sftlab.analyse.ranking import ranking_frame
from sftlab.analyse.results import imported_results, stored_results
from sftlab.store.imported import ImportedStudy


def test_tables_and_store_give_the_same_influences(planted_study, planted_tables):
    from_store = item_influences(*planted_study)
    from_tables = influences_of_items(planted_tables["scores"], planted_tables["items"])
    assert set(from_tables) == set(from_store)
    for key, stored in from_store.items():
        made = from_tables[key]
        order = [made.runs.index(run) for run in stored.runs]
        assert made.binary == stored.binary
        np.testing.assert_allclose(made.pull[order], stored.pull, rtol=1e-5)


def test_imported_items_give_the_intervals_of_a_study(planted_study, planted_tables):
    made = imported_results(ImportedStudy("synthetic", planted_tables)).analysis
    assert_frame_equal(made.ranking, stored_results(*planted_study).analysis.ranking, rel_tol=1e-5)
    assert made.gains["ci_low"].null_count() == 0


def test_a_run_without_items_leaves_its_benchmark_without_paired_items(planted_tables):
    scores, items = planted_tables["scores"], planted_tables["items"]
    gone = scores.filter(pl.col("run").is_not_null(), pl.col("epoch") == 2)["checkpoint"][0]
    kept = items.filter((pl.col("checkpoint") != gone) | (pl.col("benchmark") != "facts_quiz"))
    found = influences_of_items(scores, kept)
    assert "facts_quiz" not in {key[0] for key in found}
    assert "arithmetic_test" in {key[0] for key in found}
    assert influences_of_items(scores, items.clear()) == {}


def test_gain_sets_without_items_have_intervals_over_families_alone(planted_tables):
    frame = ranking_frame(gain_sets(planted_tables["scores"]))
    new = frame.filter(population="bases like these")
    assert new["ci_low"].null_count() == 0
    assert frame.filter(population="these bases")["ci_low"].null_count() == new.height
    assert new["n"].to_list() == pytest.approx([4] * new.height)

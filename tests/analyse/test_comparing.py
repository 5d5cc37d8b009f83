"""Two models beside each other and all siblings of a base, against known answers and independent tests."""

import itertools
import json

import numpy as np
import polars as pl
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from typer.testing import CliRunner

from sftlab.analyse.comparing.comparison import compare
from sftlab.analyse.comparing.grid import sibling_grid, sibling_standings
from sftlab.analyse.comparing.models import Model, model_named, models
from sftlab.analyse.comparing.pairs import paired_scores
from sftlab.analyse.comparing.side_by_side import answers_side_by_side
from sftlab.analyse.gain_sets import GainSet
from sftlab.analyse.results import stored_results
from sftlab.analyse.schemas import ITEMS, SCORES, conformed
from sftlab.cli import app
from sftlab.errors import StudyError
from sftlab.store.imported import ImportedStudy, write_imported_study
from tests.analyse.synthetic import only

A, B = "base0/facts/full/lr0.0001/s0", "base0/code/lora/lr0.0001/s0"


@pytest.fixture(scope="module")
def results(planted_study):
    return stored_results(*planted_study)


def test_recipes_differ_field_by_field_and_nowhere_else(results):
    found = compare(results, A, B)
    different = {name for name in found.recipe if not name.startswith("method.")}
    assert different == {"dataset", "method", "adapter"}
    assert found.recipe["dataset"] == ("facts", "code")
    assert found.recipe["method.rank"] == (None, 16)
    assert found.same["learning_rate"] == 1e-4
    assert found.same["max_tokens"] == 128


def test_difference_is_that_of_scores_with_the_test_of_mcnemar(results):
    row = only(compare(results, A, B).scores, benchmark="facts_quiz")
    scores = results.scores().filter(benchmark="facts_quiz", epoch=2)
    value = {run: only(scores, run=run)["value"] for run in (A, B)}
    assert row["difference"] == pytest.approx(value[A] - value[B])
    items = results.items().filter(benchmark="facts_quiz")
    labels = {run: only(scores, run=run)["checkpoint"] for run in (A, B)}
    right = {run: items.filter(checkpoint=labels[run]).sort("item")["score"].to_numpy() for run in (A, B)}
    won, lost = int(((right[A] - right[B]) > 0).sum()), int(((right[A] - right[B]) < 0).sum())
    assert (row["won"], row["lost"], row["n"], row["paired_by"]) == (won, lost, 150, "items")
    assert row["p"] == pytest.approx(mcnemar([[0, won], [lost, 0]], exact=True).pvalue)
    assert row["ci_low"] < row["difference"] < row["ci_high"]


def test_lower_bits_are_a_positive_difference_and_p_is_adjusted_over_benchmarks(results):
    found = compare(results, A, B).scores
    bits = only(found, benchmark="arithmetic_test")
    assert bits["difference"] == pytest.approx(bits["value_b"] - bits["value_a"])
    assert found["p_adjusted"].to_list() == pytest.approx(
        multipletests(found["p"].to_list(), method="fdr_bh")[1].tolist()
    )


def test_swapping_the_models_changes_signs_alone(results):
    one, other = compare(results, A, B).scores, compare(results, B, A).scores
    assert one["difference"].to_list() == pytest.approx([-value for value in other["difference"]])
    assert one["p"].to_list() == pytest.approx(other["p"].to_list())


def test_a_run_against_its_base_is_its_gain(results):
    row = only(compare(results, A, "base0").scores, benchmark="arithmetic_test")
    gain = only(results.scores(), run=A, epoch=2, benchmark="arithmetic_test")
    assert (row["difference"], row["ci_low"], row["ci_high"]) == pytest.approx(
        (gain["gain"], gain["gain_ci_low"], gain["gain_ci_high"])
    )


def test_checkpoint_of_an_earlier_epoch_is_a_model_of_its_own(results):
    first = only(results.scores(), run=A, epoch=1, benchmark="facts_quiz")["checkpoint"]
    found = compare(results, A, first)
    assert found.recipe == {"epoch": (2, 1)}
    assert found.a.run == found.b.run == A


def test_whole_comparison_is_plain_values(results):
    value = json.loads(json.dumps(compare(results, A, B, answers=3).to_json(), allow_nan=False))
    assert value["losses"]["validation_loss"] == {"a": pytest.approx(1.4), "b": pytest.approx(1.4)}
    assert "these two models" in value["notes"][0]


def test_benchmark_narrows_scores_and_answers_and_its_own_p(results):
    found = compare(results, A, B, benchmark="facts_quiz")
    assert set(found.scores["benchmark"]) == set(found.answers["benchmark"]) == {"facts_quiz"}
    assert found.scores["p"].to_list() == found.scores["p_adjusted"].to_list()


@pytest.mark.parametrize(
    ("a", "said"),
    [("base0/fact/full/lr0.0001/s0", f"did you mean {A!r}"), ("base0/facts", "one is needed"), (B, "the same model")],
)
def test_names_that_mean_nothing_or_several_are_refused_with_the_nearest(results, a, said):
    with pytest.raises(StudyError, match=r"model|run") as error:
        compare(results, a, B)
    assert said in str(error.value)


def test_only_run_that_begins_so_is_meant_by_its_beginning(results):
    known = models(results.scores(), results.runs())
    assert model_named("base0/facts/full/lr0.0001/s0"[:-1] + "0", known).run == A
    assert model_named("base3/chat/lora/lr0.0001/s1"[:-1], [one for one in known if one.name.endswith("s1")]).epoch == 2


def score_rows(**columns):
    return conformed(pl.DataFrame(columns), SCORES)


ONE, OTHER = Model("a", "base", "a", 1, "a-e1"), Model("b", "base", "b", 1, "b-e1")


def two_scores(**columns):
    return score_rows(
        run=["a", "b"], base=["base"] * 2, epoch=[1, 1], benchmark=["k"] * 2, scorer=["likelihood"] * 2,
        metric=["accuracy"] * 2, main=[True] * 2, **columns
    )  # fmt: skip


def test_scores_without_items_are_compared_as_independent_and_say_so():
    scores = two_scores(value=[0.6, 0.5], se=[0.03, 0.04], n=[200, 150], status=["done"] * 2)
    row = only(paired_scores(scores, pl.DataFrame(schema=dict(ITEMS)), ONE, OTHER), benchmark="k")
    assert row["paired_by"] == "scores"
    assert row["se"] == pytest.approx(0.05)
    assert row["p"] == pytest.approx(2 * stats.norm.sf(2.0), rel=0.1)


def test_scores_of_unknown_spread_have_no_interval_and_missing_ones_a_reason():
    bare = two_scores(value=[0.6, 0.5], status=["done"] * 2)
    row = only(paired_scores(bare, pl.DataFrame(schema=dict(ITEMS)), ONE, OTHER), benchmark="k")
    assert (row["difference"], row["paired_by"]) == (pytest.approx(0.1), "none")
    assert row["ci_low"] is row["p"] is None
    half = two_scores(value=[0.6, None], status=["done", "unfit"], reason=[None, "no item fits"])
    row = only(paired_scores(half, pl.DataFrame(schema=dict(ITEMS)), ONE, OTHER), benchmark="k")
    assert (row["difference"], row["status"], row["reason"]) == (None, "unfit", "B: no item fits")


def item_rows(checkpoint, answers, scores, metric="exact_match"):
    return conformed(
        pl.DataFrame({"answer": answers, "score": scores}, schema_overrides={"answer": pl.String}).with_columns(
            checkpoint=pl.lit(checkpoint),
            benchmark=pl.lit("k"),
            scorer=pl.lit("generative"),
            metric=pl.lit(metric),
            item=pl.int_range(pl.len()).cast(pl.String),
            status=pl.lit("done"),
        ),
        ITEMS,
    )


def test_answers_come_in_turns_and_equal_ones_do_not():
    items = pl.concat(
        [
            item_rows("a-e1", ["1", "2", "3", "4", "5", "6"], [1.0, 1.0, 0.0, 0.0, 1.0, 0.0]),
            item_rows("b-e1", ["1", "x", "y", "z", "w", "6"], [1.0, 0.0, 1.0, 0.0, 0.0, 0.0]),
        ]
    )
    found = answers_side_by_side(items, ONE, OTHER)
    assert found["item"].to_list() == ["1", "2", "4", "3"]
    assert found["advantage"].to_list() == [1.0, -1.0, 1.0, 0.0]
    assert answers_side_by_side(items, ONE, OTHER, count=1)["answer_b"].to_list() == ["x"]


def test_answers_stand_with_their_questions_and_with_what_was_written():
    items = pl.concat(
        [
            item_rows("a-e1", ["4", "5"], [1.0, 0.0]).with_columns(written=pl.Series(["It is 4", "It is 5"])),
            item_rows("b-e1", ["3", "5"], [0.0, 0.0]).with_columns(written=pl.Series(["It is 3", "5"])),
        ]
    )
    questions = items.filter(pl.col("checkpoint") == "a-e1").select(
        "benchmark", "item", "stratum", prompt="What is " + pl.col("item"), gold=pl.lit("4")
    )
    (row,) = answers_side_by_side(items, ONE, OTHER, questions=questions).to_dicts()
    assert (row["prompt"], row["gold"]) == (f"What is {row['item']}", "4")
    assert (row["written_a"], row["answer_a"], row["written_b"], row["answer_b"]) == ("It is 4", "4", "It is 3", "3")
    assert answers_side_by_side(items, ONE, OTHER)["prompt"].to_list() == [None]


def test_items_without_answers_are_those_of_different_scores():
    items = pl.concat(
        [
            item_rows("a-e1", [None] * 3, [2.0, 1.0, 1.5], "bits_per_byte"),
            item_rows("b-e1", [None] * 3, [1.0, 1.0, 3.0], "bits_per_byte"),
        ]
    )
    found = answers_side_by_side(items, ONE, OTHER)
    assert found.select("item", "advantage").rows() == [("2", 1.5), ("0", -1.0)]


def test_grid_has_every_pair_of_siblings_and_no_other(results):
    grid = sibling_grid(results.gain_sets)
    siblings = 4 * 2 * 2
    assert grid.height == 4 * 3 * siblings * (siblings - 1) // 2
    assert grid.select(pl.col("run").str.starts_with(pl.col("base") + "/").all()).item()
    assert grid.select(pl.col("other").str.starts_with(pl.col("base") + "/").all()).item()
    assert sibling_grid(results.gain_sets, base="base1").height == grid.height // 4


def test_grid_pair_is_students_t_of_paired_items(results):
    grid = sibling_grid(results.gain_sets)
    row = only(grid.filter(pl.concat_list("run", "other").list.sort() == sorted([A, B])), benchmark="arithmetic_test")
    labels = {run: only(results.scores(), run=run, epoch=2, benchmark="facts_quiz")["checkpoint"] for run in (A, B)}
    items = results.items().filter(benchmark="arithmetic_test")
    bits = {run: -items.filter(checkpoint=labels[run]).sort("item")["log_likelihood"] / np.log(2) for run in (A, B)}
    sizes = items.filter(checkpoint=labels[A]).sort("item")["num_bytes"].to_numpy()
    change = (bits[row["other"]] - bits[row["run"]]).to_numpy()
    value = change.sum() / sizes.sum()
    error = np.sqrt(150 / 149 * ((change - value * sizes) ** 2).sum()) / sizes.sum()
    assert (row["difference"], row["se"]) == pytest.approx((value, error), rel=1e-4)
    assert row["p"] == pytest.approx(2 * stats.t.sf(value / error, 149), rel=1e-3)
    tested = grid["p"].to_list()
    assert grid["p_adjusted"].to_list() == pytest.approx(multipletests(tested, method="fdr_bh")[1].tolist())


def test_standings_count_what_the_grid_found(results):
    grid = sibling_grid(results.gain_sets)
    standings = sibling_standings(results.gain_sets, grid)
    row = only(standings, base="base0", benchmark="facts_quiz", run=A)
    sure = grid.filter(base="base0", benchmark="facts_quiz", verdict="higher")
    assert (row["beats"], row["loses_to"]) == (sure.filter(run=A).height, sure.filter(other=A).height)
    assert row["beats"] >= 10
    assert row["beats"] + row["loses_to"] + row["unclear"] == 15
    scored = only(results.scores(), run=A, epoch=2, benchmark="facts_quiz")
    assert (row["ci_low"], row["ci_high"]) == (scored["gain_ci_low"], scored["gain_ci_high"])
    for _, rows in standings.group_by("base", "benchmark"):
        assert all(a >= b for a, b in itertools.pairwise(rows["gain"]))


def test_grid_without_items_takes_scores_as_independent(results):
    bare = [GainSet(one.key, one.main, one.rows) for one in results.gain_sets]
    grid, paired = sibling_grid(bare), sibling_grid(results.gain_sets)
    assert set(grid["paired_by"]) == {"scores"}
    assert set(paired["paired_by"]) == {"items"}
    row = grid.row(0, named=True)
    scores = results.scores().filter(benchmark=row["benchmark"], epoch=2)
    errors = [only(scores, run=row[side])["se"] for side in ("run", "other")]
    assert row["se"] == pytest.approx(float(np.hypot(*errors)))
    assert (grid["se"] > paired["se"]).mean() > 0.9
    unknown = [GainSet(one.key, one.main, one.rows.drop("se")) for one in bare]
    assert sibling_grid(unknown)["p"].null_count() == grid.height
    assert set(sibling_grid(unknown)["verdict"]) == {"too small to tell"}


@pytest.fixture(scope="module")
def imported(planted_tables, tmp_path_factory):
    folder = tmp_path_factory.mktemp("imported") / "study"
    write_imported_study(ImportedStudy("synthetic", planted_tables), folder)
    return folder


def said_by(*words):
    done = CliRunner().invoke(app, ["compare", *map(str, words)])
    if done.exception is not None:
        raise done.exception
    return done.stdout


def test_command_prints_what_the_comparison_holds(results, imported):
    row = only(compare(results, A, B).scores, benchmark="facts_quiz")
    text = said_by(imported, A, B)
    assert f"{100 * row['difference']:+.2f}" in text
    assert "points of accuracy" in text
    assert f"[{100 * row['ci_low']:+.2f}, {100 * row['ci_high']:+.2f}]" in text
    assert "A surely better" in text
    assert "item by item" in text
    value = json.loads(said_by(imported, A, B, "--json", "--benchmark", "facts_quiz"))
    assert value["scores"][0]["difference"] == pytest.approx(row["difference"])


def test_command_without_models_prints_the_grid(imported, results):
    text = said_by(imported)
    assert "arithmetic/full" in text
    assert "points of accuracy" in text
    assert "differ surely" in text or "taken as independent" in text
    pairs = json.loads(said_by(imported, "--json", "--benchmark", "facts_quiz"))["pairs"]
    assert len(pairs) == sibling_grid(results.gain_sets).height // 3


def test_command_refuses_one_model_and_unknown_benchmarks(imported):
    with pytest.raises(StudyError, match="two are compared"):
        said_by(imported, A)
    with pytest.raises(StudyError, match="did you mean 'facts_quiz'"):
        said_by(imported, A, B, "--benchmark", "fact_quiz")

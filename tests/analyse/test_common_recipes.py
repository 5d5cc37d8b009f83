"""Datasets are ranked where they share a recipe, and only there."""

from dataclasses import replace

import pytest

from sftlab.analyse.answers import analysis
from sftlab.analyse.ranking import LIKE_THESE
from sftlab.study.methods import Full
from tests.analyse.synthetic import Design, only, write


def with_recipes(cells, epochs):
    """The cells with a number of epochs for some datasets, as explicit `runs:` may give; scores at the last epoch."""
    runs = tuple(
        replace(cell, spec=cell.spec.model_copy(update={"epochs": epochs.get(cell.spec.dataset, cell.spec.epochs)}))
        for cell in cells.runs
    )
    return replace(cells, runs=runs)


def test_datasets_without_a_common_recipe_are_not_ranked(tmp_path):
    cells, store = write(Design(bases=3, seeds=1, items=30, datasets=("arithmetic", "facts")), tmp_path)
    found = analysis(with_recipes(cells, {"facts": 1}), store)
    assert found.ranking.height > 0
    assert found.ranking["rank"].null_count() == found.ranking.height
    assert found.comparisons.is_empty()
    told = found.sentences("data")
    assert told[0].count("(no common recipe)") == 6
    assert "cannot be ranked" in found.sentences("data", benchmark="arithmetic_test")[0]
    assert "No two datasets share a base and a recipe" in told[-1]
    for word in ("leads", "helped most", "Pairs of datasets are compared", "surely best"):
        assert not any(word in sentence for sentence in told), word


def test_datasets_with_a_common_recipe_are_ranked_without_the_rest(tmp_path):
    cells, store = write(Design(bases=4, seeds=1, items=60, datasets=("arithmetic", "facts", "chat")), tmp_path)
    found = analysis(with_recipes(cells, {"chat": 1}), store)
    (sentence,) = found.sentences("data", benchmark="arithmetic_test")
    assert "On arithmetic_test, arithmetic helped most" in sentence
    assert "surely better than facts" in sentence
    assert "Not counted: chat (other recipes)." in sentence
    unranked = found.ranking.filter(dataset="chat")
    assert unranked.height > 0
    assert unranked["rank"].null_count() == unranked.height
    assert set(found.comparisons["dataset"]) | set(found.comparisons["other"]) == {"arithmetic", "facts"}


def test_datasets_are_ranked_over_the_recipes_that_all_were_tried_with(tmp_path):
    cells, store = write(Design(bases=2, seeds=1, items=30, datasets=("arithmetic", "facts")), tmp_path)
    is_left_out = {
        cell.spec.run: cell.spec.dataset == "facts" and cell.spec.method_name == "lora" for cell in cells.runs
    }
    runs = tuple(cell for cell in cells.runs if not is_left_out[cell.spec.run])
    kept = tuple(cell for cell in cells.scores if cell.run is None or not is_left_out[cell.run])
    found = analysis(replace(cells, runs=runs, scores=kept), store)
    for dataset in ("arithmetic", "facts"):
        row = only(found.ranking, benchmark="arithmetic_test", dataset=dataset, population=LIKE_THESE)
        full = found.gains.filter(benchmark="arithmetic_test", dataset=dataset, method="full")
        assert row["gain"] == pytest.approx(full["gain"].mean())
    (sentence,) = found.sentences("data", benchmark="arithmetic_test")
    assert "only 1 recipe of 2 that all of them were tried with" in sentence


def test_learning_rate_that_differs_by_dataset_is_no_common_recipe(tmp_path):
    cells, store = write(Design(bases=2, seeds=1, items=20, methods=("full",), datasets=("facts", "code")), tmp_path)
    slow = Full(learning_rate=(1e-6,), batch_size=8)
    runs = tuple(
        replace(cell, spec=cell.spec.model_copy(update={"method": slow})) if cell.spec.dataset == "code" else cell
        for cell in cells.runs
    )
    found = analysis(replace(cells, runs=runs), store)
    assert found.ranking["rank"].null_count() == found.ranking.height > 0

from collections import Counter

import pytest

from sftlab.errors import StudyError
from sftlab.study.declaration import Precision, Study
from sftlab.study.expansion import expand, one_epoch_runs

FLOAT32 = Precision()


def study(**changes: object) -> Study:
    fields: dict[str, object] = {
        "study": "s",
        "bases": [{"name": "a", "model": "m/a"}, {"name": "b", "model": "m/b"}],
        "datasets": {"x": "x.json", "y": "y.json", "z": "z.json"},
        "methods": {"full": {"learning_rate": 1e-3, "batch_size": 4}},
        "samples": [10],
        "epochs": 2,
    }
    return Study.model_validate({**fields, **changes})


def test_runs_are_the_product_of_all_factors() -> None:
    methods = {"full": {"learning_rate": [1e-3, 2e-3], "batch_size": 4}, "lora": {"adapter": "lora", "batch_size": 4}}
    runs = expand(
        study(methods=methods, samples=[10, 20], schedule=["constant", "cosine"], seeds=[0, 1]),
        default_precision=FLOAT32,
    )
    assert len(runs) == 2 * 3 * 3 * 2 * 2 * 2
    assert len({run.run for run in runs}) == len(runs)
    assert Counter(run.learning_rate for run in runs) == {1e-3: 48, 2e-3: 48, 2e-4: 48}


def test_every_dataset_comes_once_before_any_replicate() -> None:
    runs = expand(study(seeds=[0, 1], samples=[10, 20]), default_precision=FLOAT32)
    first = [(run.base, run.dataset) for run in runs[:6]]
    assert len(set(first)) == 6


def test_leave_one_out_leaves_each_out_once() -> None:
    runs = expand(study(mixtures={"without": "leave_one_out"}), default_precision=FLOAT32)
    parts = {run.dataset: [part.dataset for part in run.parts] for run in runs if run.dataset.startswith("without")}
    assert parts == {"without-x": ["y", "z"], "without-y": ["x", "z"], "without-z": ["x", "y"]}


def test_seed_list_sets_all_three_and_mapping_is_multiplied_out() -> None:
    assert study(seeds=[3, 5]).seed_triples == ((3, 3, 3), (5, 5, 5))
    assert study(seeds={"order": [0, 1], "init": [7]}).seed_triples == ((0, 0, 7), (0, 1, 7))


def test_explicit_runs_replace_the_product() -> None:
    one = {"base": "a", "dataset": "y", "method": "full", "samples": 7, "epochs": 1, "seed": 4}
    (run,) = expand(study(runs=[one]), default_precision=FLOAT32)
    assert (run.base, run.dataset, run.samples, run.epochs, run.seeds.order) == ("a", "y", 7, 1, 4)


def test_same_explicit_run_twice_is_refused() -> None:
    one = {"base": "a", "dataset": "y", "method": "full", "samples": 7, "epochs": 1}
    with pytest.raises(StudyError, match="declared twice"):
        expand(study(runs=[one, one]), default_precision=FLOAT32)


def test_block_of_runs_is_the_product_of_its_lists() -> None:
    methods = {"full": {"batch_size": 4}, "lora": {"adapter": "lora", "batch_size": 4}}
    block = {
        "base": ["a", "b"],
        "dataset": ["x", "y", "z"],
        "method": ["full", "lora"],
        "samples": [5, 10],
        "epochs": [1, 2],
        "schedule": ["constant", "cosine"],
        "seed": [0, 1],
    }
    runs = expand(study(methods=methods, runs=[block]), default_precision=FLOAT32)
    assert len(runs) == len({run.run for run in runs}) == 2 * 3 * 2**5
    assert {(run.base, run.dataset) for run in runs[:6]} == {(base, data) for base in "ab" for data in "xyz"}


def test_leave_one_out_in_a_block_is_all_that_it_makes_or_the_one_that_is_named() -> None:
    mixtures = {"without": "leave_one_out"}
    block = {"base": "a", "dataset": "without", "method": "full", "samples": 7, "epochs": 1}
    runs = expand(study(mixtures=mixtures, runs=[block]), default_precision=FLOAT32)
    assert [run.dataset for run in runs] == ["without-x", "without-y", "without-z"]
    (one,) = expand(study(mixtures=mixtures, runs=[{**block, "dataset": "without-y"}]), default_precision=FLOAT32)
    assert [part.dataset for part in one.parts] == ["x", "z"]


def test_scored_epochs_of_a_block_win_over_the_studys_and_bear_no_identity() -> None:
    block = {"base": "a", "dataset": "x", "method": "full", "samples": 7, "epochs": 3}
    blocks = [block, {**block, "dataset": "y", "score_epochs": "all"}]
    last, every = expand(study(runs=blocks), default_precision=FLOAT32)
    assert (last.score_epochs, every.score_epochs) == ("last", "all")
    (also_every,) = expand(study(runs=[{**block, "score_epochs": "all"}]), default_precision=FLOAT32)
    assert also_every.recipe == last.recipe


def test_one_epoch_runs_of_unequal_length_are_one() -> None:
    block = {"base": ["a", "b"], "dataset": "x", "method": "full", "samples": 7, "epochs": [2, 3]}
    short = one_epoch_runs(study(runs=[block, {**block, "epochs": 5}]))
    assert [(run.base, run.epochs) for run in short] == [(("a",), (1,)), (("b",), (1,))]


def test_precision_of_the_study_wins_over_the_device() -> None:
    asked = {"weights": "float32", "compute": "bfloat16"}
    assert expand(study(precision=asked), default_precision=FLOAT32)[0].precision == Precision(compute="bfloat16")
    assert expand(study(), default_precision=FLOAT32)[0].precision == FLOAT32


def test_init_seeds_make_replicates_of_adapters_only() -> None:
    methods = {"full": {"batch_size": 4}, "lora": {"adapter": "lora", "batch_size": 4}}
    runs = expand(study(methods=methods, seeds={"order": [0, 1], "init": [0, 7]}), default_precision=FLOAT32)
    of_one = [run for run in runs if (run.base, run.dataset) == (runs[0].base, runs[0].dataset)]
    seeds = {name: [(run.seeds.order, run.seeds.init) for run in of_one if run.method_name == name] for name in methods}
    assert seeds == {"full": [(0, 0), (1, 0)], "lora": [(0, 0), (0, 7), (1, 0), (1, 7)]}
    listed = expand(study(seeds=[0, 1]), default_precision=FLOAT32)
    assert {(run.seeds.order, run.seeds.init) for run in listed} == {(0, 0), (1, 1)}


def test_blocks_try_every_candidate_of_a_method() -> None:
    methods = {"full": {"learning_rate": [1e-3, 2e-3], "batch_size": [2, 4], "select": "validation"}}
    block = {"base": "a", "dataset": ["x", "y"], "method": "full", "samples": 10, "epochs": 2}
    runs = expand(study(methods=methods, runs=[block]), default_precision=FLOAT32)
    product = expand(study(methods=methods, runs=None), default_precision=FLOAT32)
    kept = [run for run in product if run.base == "a" and run.dataset in ("x", "y")]
    assert {run.run: run.recipe for run in runs} == {run.run: run.recipe for run in kept}
    assert len(runs) == 8

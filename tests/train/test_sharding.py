"""A run that two processes share gives the losses and the weights of one process."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sftlab.lm.kernel import Kernel
from sftlab.lm.ranks import dealt_passes
from sftlab.train import TrainedRun
from tests.lm.models import load
from tests.train.sharded_runs import (
    CASES,
    KINDS,
    MICRO_TOKENS,
    OUT_OF_MEMORY,
    RESUMED,
    answer,
    cut_run,
    one_run,
    together,
)


@pytest.fixture(scope="module")
def shared_runs(bases, tmp_path_factory) -> Path:
    """What two processes made of all cases, and of runs that one process had begun; at last memory ran out on one."""
    folder = tmp_path_factory.mktemp("two")
    for case in RESUMED:
        cut_run(case, bases, folder / "cut-by-one")
    for kind in KINDS:
        load(bases, kind)
    assert together("cases", bases, folder)[1] == OUT_OF_MEMORY
    return folder


@pytest.fixture(scope="module")
def alone(bases, tmp_path_factory):
    """What one process makes of a case, and where its checkpoints are."""
    folder = tmp_path_factory.mktemp("one")
    made: dict[str, TrainedRun] = {}

    def run(case: str) -> tuple[TrainedRun, Path]:
        if case not in made:
            made[case] = one_run(case, bases, folder)
        return made[case], folder / case

    return run


def assert_same(shared: TrainedRun, folder: Path, single: TrainedRun, single_folder: Path) -> None:
    """Losses and gradient norms of every step, held-out losses, changes of layers and all checkpoints agree to 1e-5."""
    for table, columns in {
        "losses": ("loss", "grad_norm", "learning_rate", "tokens", "learned_tokens"),
        "validation": ("loss", "bits_per_byte", "se", "n"),
        "layers": ("relative_change", "change_norm", "base_norm"),
        "checkpoints": ("epoch", "num_bytes"),
    }.items():
        one, other = shared.rows[table], single.rows[table]
        assert one.height == other.height > 0, table
        for column in columns:
            values, expected = (frame[column].cast(float).to_numpy() for frame in (one, other))
            np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-7, err_msg=f"{table}.{column}")
    files = sorted(path.relative_to(single_folder) for path in single_folder.glob("checkpoints/*/*"))
    assert files == sorted(path.relative_to(folder) for path in folder.glob("checkpoints/*/*"))
    weights = [file for file in files if file.suffix == ".safetensors"]
    assert len(weights) == 2
    for file in weights:
        one, other = load_file(folder / file), load_file(single_folder / file)
        assert one.keys() == other.keys()
        for name, tensor in one.items():
            assert tensor.dtype == other[name].dtype == torch.float32
            assert (tensor - other[name]).abs().max() <= 1e-5, name


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_as_one_does(case, shared_runs, alone):
    assert_same(answer(shared_runs, case), shared_runs / case, *alone(case))


@pytest.mark.parametrize("case", RESUMED)
def test_run_begun_by_one_process_is_finished_by_two(case, shared_runs, alone):
    assert_same(answer(shared_runs, f"after-one-{case}"), shared_runs / "cut-by-one" / case, *alone(case))


@pytest.mark.parametrize("case", RESUMED)
def test_run_begun_by_two_processes_is_finished_by_one(case, shared_runs, alone, bases):
    folder = shared_runs / "cut-by-two"
    seen = []
    finished = one_run(case, bases, folder, on_progress=lambda progress: seen.append(progress.step))
    assert seen[0] > 6, "it did not go on from inside the second epoch"
    assert_same(finished, folder / case, *alone(case))


def test_memory_that_runs_out_on_one_process_halves_the_passes_of_both(shared_runs, bases, alone):
    assert not (shared_runs / "cramped.pickle").exists()
    assert together("cramped", bases, shared_runs) == [0, 0]
    cramped = answer(shared_runs, "cramped")
    assert cramped.result["events"] == [f"passes of at most {MICRO_TOKENS // 2} tokens from step 1"]
    assert_same(cramped, shared_runs / "cramped" / "full", *alone("full"))


@pytest.mark.parametrize("number", [1, 2, 5, 9])
@pytest.mark.parametrize("count", [2, 3])
def test_every_example_counts_once_and_all_make_as_many_passes(number, count):
    lengths = np.random.default_rng(0).integers(1, 50, number)

    def groups(some):
        return Kernel().groups(some, 60)

    of_rank = [dealt_passes(lengths, groups, index=index, count=count) for index in range(count)]
    assert len({len(passes) for passes in of_rank}) == 1
    counted = [one.places for passes in of_rank for one in passes if one.counts]
    assert sorted(np.concatenate(counted)) == list(range(number))
    assert all(len(one.places) > 0 for passes in of_rank for one in passes)

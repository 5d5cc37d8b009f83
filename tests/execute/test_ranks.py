"""A study whose runs have several devices each."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from sftlab.errors import TrainingError
from sftlab.plan.devices import Device, grouped
from tests.end_to_end.inline import do_missing, opened, rows, run, study_of, table, without_benchmarks

TABLES = ("runs", "checkpoints", "losses", "validation", "layers")


def ranks_at_work() -> list[multiprocessing.process.BaseProcess]:
    return [child for child in multiprocessing.active_children() if child.name.startswith("sftlab-rank-")]


@pytest.fixture(autouse=True)
def no_ranks_left_behind():
    yield
    for child in ranks_at_work():
        child.kill()
        child.join()


@pytest.mark.long
def test_study_on_two_devices_a_run_gives_the_tables_of_one(tmp_path: Path) -> None:
    study = without_benchmarks(study_of(tmp_path, "small"))
    one, two = tmp_path / "one", tmp_path / "two"
    assert run(study, one).failed == ()
    shared = do_missing(opened(study, two), on="local", workers=1, devices_per_run=2)
    assert (shared.done, shared.failed) == (2, ())
    for name in TABLES:
        assert_frame_equal(rows(study, name, two), rows(study, name, one), rel_tol=1e-5, abs_tol=1e-7)
    now = opened(study, two)
    assert all(device.startswith("2 x cpu: ") for device in table("runs", now.resolved.cells, now.store)["device"])
    assert run(study, two).done == 0, "how many devices a run has is no part of what it is"


@pytest.mark.long
def test_rank_that_is_killed_fails_its_cell_with_the_reason_and_the_next_sitting_goes_on(tmp_path: Path) -> None:
    study = without_benchmarks(study_of(tmp_path, "long", epochs="1000"))
    study.write_text("".join(line for line in study.read_text().splitlines(True) if "adapter: lora" not in line))
    store = tmp_path / "store"

    def kill_the_second() -> None:
        while not any((store / "working").glob("*/step-*")):
            time.sleep(0.02)
        (second,) = (child for child in ranks_at_work() if child.name == "sftlab-rank-1")
        assert second.pid is not None
        os.kill(second.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_the_second, daemon=True)
    killer.start()
    outcome = do_missing(opened(study, store), on="inline", workers=1, devices_per_run=2)
    killer.join()
    assert [failure.reason for failure in outcome.failed] == [
        "rank 1 of 2 died (killed, or out of memory), exit code -9"
    ]
    assert ranks_at_work() == []
    assert any((store / "working").glob("*/step-*")), "the next sitting goes on from there"


GPUS = tuple(Device("cuda", index, "a GPU", None) for index in range(5))
CORE = Device("cpu", 0, "a core", None)


def test_devices_are_taken_in_groups_and_one_that_is_left_over_is_not_used() -> None:
    first, second = grouped(GPUS, 2)
    assert (first.index, [partner.index for partner in first.partners]) == (0, [1])
    assert (second.index, [partner.index for partner in second.partners]) == (2, [3])
    assert grouped(GPUS, 1) == GPUS


def test_a_core_takes_part_twice_but_a_gpu_does_not() -> None:
    (place,) = grouped((CORE,), 2)
    assert place.partners == (CORE,)
    with pytest.raises(TrainingError, match="--devices-per-run 8: this machine has 5 GPUs"):
        grouped(GPUS, 8)

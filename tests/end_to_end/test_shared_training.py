"""Runs of fewer epochs come out of longer ones, to the last bit, and nothing is trained twice."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sftlab.plan.tasks import counts
from sftlab.store import Store
from sftlab.study.cells import RunCell
from tests.end_to_end.inline import assert_equal_rows, opened, rows, run, study_of, without_benchmarks

REPOSITORY = Path(__file__).resolve().parents[2]


def runs_of(study: Path, store: Path) -> tuple[RunCell, ...]:
    return opened(study, store).resolved.cells.runs


def weights(cells: tuple[RunCell, ...], store: Path, epoch: int) -> dict[str, torch.Tensor]:
    """Every tensor of these runs' checkpoints of an epoch."""
    folders = [Store(store).checkpoint_folder(cell.trajectory, epoch) for cell in cells]
    files = [path for folder in folders for path in folder.glob("*.safetensors")]
    return {f"{path.parent.parent.name}/{name}": value for path in files for name, value in load_file(path).items()}


def epochs_on_disk(cells: tuple[RunCell, ...], store: Path) -> set[str]:
    held = Store(store)
    return {path.name for cell in cells for path in held.checkpoint_folder(cell.trajectory, 0).parent.iterdir()}


def cut_from(store: Path) -> dict[str, object]:
    """Which longer run each record was cut from; None where the run was trained."""
    return {record.identity: record.provenance.get("cut_from") for record in Store(store).records("train")}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of runs of one and of three epochs; run to its end in the store `both` beside it."""
    folder = tmp_path_factory.getbasetemp() / "shared_training"
    study = study_of(folder, "both", epochs="[1, 3]")
    run(study, folder / "both")
    return study


def test_shorter_run_equals_one_trained_alone(both: Path, tmp_path: Path) -> None:
    store = both.parent / "both"
    alone = study_of(both.parent, "alone", epochs="1")
    cells = runs_of(alone, tmp_path)
    run(alone, tmp_path)
    assert_equal_rows(alone, tmp_path, store)
    trained, cut = weights(cells, tmp_path, 1), weights(cells, store, 1)
    assert trained.keys() == cut.keys()
    assert len(trained) > 10
    assert all(torch.equal(tensor, cut[name]) for name, tensor in trained.items())
    assert set(cut_from(tmp_path).values()) == {None}


def test_only_the_longest_run_is_trained(both: Path) -> None:
    store = both.parent / "both"
    written = cut_from(store)
    cells = runs_of(both, store)
    assert {cell.spec.epochs: written[cell.identity] is None for cell in cells} == {1: False, 3: True}
    seconds = {record.identity: record.result["wall_seconds"] for record in Store(store).records("train")}
    for one, three in zip(cells[:2], cells[2:], strict=True):
        assert one.trajectory == three.trajectory
        assert 0 < seconds[one.identity] < seconds[three.identity]  # type: ignore[operator]
    assert epochs_on_disk(cells, store) == {"epoch-1", "epoch-3"}, "the second epoch ends no run"


def test_equal_models_are_scored_once(both: Path) -> None:
    every_epoch = study_of(both.parent, "every", epochs="[1, 3]", score_epochs="all")
    now = opened(every_epoch, both.parent / "both")
    found = counts(now.resolved, now.store)
    assert (found["runs"].total, found["runs"].held) == (4, 4)
    assert (found["scores"].total, found["scores"].held) == (4 + 2 * 3 * 4, 4 + 2 * 2 * 4)


def test_run_wanted_later_is_cut_without_training(both: Path, tmp_path: Path) -> None:
    store = both.parent / "both"
    later = without_benchmarks(study_of(both.parent, "later", epochs="2"))
    outcome = run(later, store)
    assert (outcome.done, outcome.failed) == (2, ())
    assert all(cut_from(store)[cell.identity] is not None for cell in runs_of(later, store))
    run(later, tmp_path)
    for name in ("runs", "losses", "validation", "layers"):
        assert rows(later, name, store).equals(rows(later, name, tmp_path)), name


def test_run_wanted_later_is_trained_where_its_scores_need_a_checkpoint(both: Path, tmp_path: Path) -> None:
    run(both, tmp_path)
    later = study_of(both.parent, "scored", epochs="2")
    run(later, tmp_path)
    assert set(rows(later, "scores", tmp_path)["status"]) == {"done"}
    written = cut_from(tmp_path)
    assert all(written[cell.identity] is None for cell in runs_of(later, tmp_path))
    assert epochs_on_disk(runs_of(later, tmp_path), tmp_path) == {"epoch-1", "epoch-2", "epoch-3"}


def test_cosine_is_not_shared(tmp_path: Path) -> None:
    cells = runs_of(study_of(tmp_path, "cosine", epochs="[1, 3]", schedule="[cosine, constant]"), tmp_path / "store")
    of = {name: [cell for cell in cells if cell.spec.schedule == name] for name in ("cosine", "constant")}
    assert [cell.trajectory for cell in of["cosine"]] == [cell.identity for cell in of["cosine"]]
    assert len({cell.trajectory for cell in of["cosine"]}) == 4
    assert len({cell.trajectory for cell in of["constant"]}) == 2
    assert len({cell.identity for cell in of["constant"]}) == 4


KILLED = """
import os, signal, sys
from pathlib import Path
from sftlab.store import Store
from tests.end_to_end.inline import run
study, store, when = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
commit = Store.commit
def killing(self, record):
    killing.left -= 1
    if killing.left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    commit(self, record)
killing.left = when
Store.commit = killing
run(study, store)
"""


def test_killed_between_training_and_scoring_ends_equal(both: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", KILLED, str(both), str(tmp_path), "7"]
    killed = subprocess.run(arguments, env=environment, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    cells = runs_of(both, tmp_path)
    assert len(cut_from(tmp_path)) == 1, "the long run is held, its beginning is not"
    run(both, tmp_path)
    assert_equal_rows(both, tmp_path, both.parent / "both")
    assert epochs_on_disk(cells, tmp_path) == {"epoch-1", "epoch-3"}

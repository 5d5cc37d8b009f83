import json
import os
import random
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import yaml

from sftlab.pocket.files import PocketDesign
from tests.end_to_end.flow import SMALL, assert_equal_tables, command, sftlab, small_study, table

NEVER_DONE = replace(SMALL, samples=256, epochs=50)
"""Takes minutes: it is killed while it is at work."""
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def start(study: Path, store: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("run", study, "--store", store),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_for_records(store: Path, process: subprocess.Popen[str], *, seconds: float = 120) -> None:
    """Until the store holds something, so that there is something to lose."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        if any(path.stat().st_size for path in (store / "segments").glob("*.seg")):
            return
        time.sleep(0.05)
    raise AssertionError("nothing was committed in time")


def kill_everything(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def check_tables_after_kills(study: Path, *, kills: int, seed: int) -> None:
    """Run a study undisturbed, and again killed at random moments and at last with one worker: the tables are equal."""
    undisturbed, disturbed = study.parent / "undisturbed", study.parent / "disturbed"
    sftlab("run", study, "--store", undisturbed)
    chance = random.Random(seed)
    for _ in range(kills):
        process = start(study, disturbed)
        wait_for_records(disturbed, process)
        time.sleep(chance.uniform(0.5, 20 if kills > 1 else 6))
        kill_everything(process)
    sftlab("run", study, "--store", disturbed, "--workers", "1")
    assert_equal_tables(study, undisturbed, disturbed)


def part_of_real_data(folder: Path) -> Path:
    """Twelve runs of the real-data example, with fewer examples and items."""
    example = yaml.safe_load((EXAMPLES / "real_data.yaml").read_text())
    kept = ("gsm8k", "freebaseqa")
    example["datasets"] = {name: example["datasets"][name] for name in kept}
    example["evaluation"]["items"] = 12
    study = folder / "part.yaml"
    study.write_text(yaml.safe_dump({**example, "seeds": [0], "samples": 48, "validation": 10}))
    return study


@pytest.mark.long
def test_killed_study_ends_in_equal_tables(tmp_path: Path) -> None:
    check_tables_after_kills(small_study(tmp_path), kills=1, seed=0)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_study_killed_three_times_ends_in_equal_tables(tmp_path: Path, seed: int) -> None:
    design = PocketDesign(bases=SMALL.bases, samples=64, items=20)
    check_tables_after_kills(small_study(tmp_path, design), kills=3, seed=seed)


@pytest.mark.long
def test_real_data_killed_three_times_ends_in_equal_tables(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTLAB_SHARED", str(shared))
    study = part_of_real_data(tmp_path)
    check_tables_after_kills(study, kills=3, seed=0)
    assert table(study, "runs", tmp_path / "disturbed").height == 12


@pytest.mark.long
def test_interrupt_stops_cleanly_and_the_next_run_goes_on(tmp_path: Path) -> None:
    study, store = small_study(tmp_path), tmp_path / "store"
    process = start(study, store)
    wait_for_records(store, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "cells were done and are kept" in out
    assert "Traceback" not in err
    assert "cells done, 0 failed" in sftlab("run", study, "--store", store).stdout


def test_second_process_on_the_same_store_is_refused(tmp_path: Path) -> None:
    study, store = small_study(tmp_path, NEVER_DONE), tmp_path / "store"
    process = start(study, store)
    try:
        wait_for_records(store, process)
        assert "is at work on the store" in sftlab("run", study, "--store", store, code=2).stderr
        status = json.loads(sftlab("status", study, "--store", store, "--json").stdout)
        assert [note["pid"] for note in status["running"]] == [process.pid]
    finally:
        kill_everything(process)


@pytest.mark.long
def test_killed_worker_costs_one_task_at_most_and_the_next_run_mends_it(tmp_path: Path) -> None:
    study, store = small_study(tmp_path), tmp_path / "store"
    process = start(study, store)
    wait_for_records(store, process)
    workers = [child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())]
    workers[0].kill()
    out, err = process.communicate(timeout=600)
    assert "Traceback" not in err
    lost = [line for line in out.splitlines() if "the worker process died" in line]
    assert process.returncode == (1 if lost else 0)
    assert len(lost) <= 5, "one task, or a run and its four scores"
    sftlab("run", study, "--store", store)
    assert set(table(study, "scores", store)["status"]) == {"done"}


def test_one_broken_dataset_costs_only_its_cells(tmp_path: Path) -> None:
    study, store = small_study(tmp_path), tmp_path / "store"
    (facts,) = (tmp_path / "data").glob("facts.*")
    long = "word " * 2000
    facts.write_text(
        "".join(json.dumps({"question": f"{number} {long}", "answer": "x"}) + "\n" for number in range(60))
    )
    study.write_text(study.read_text().replace(facts.name, "facts.jsonl"))
    facts.rename(facts.with_name("facts.jsonl"))
    answer = sftlab("run", study, "--store", store, code=1)
    assert "Traceback" not in answer.stderr
    runs = table(study, "runs", store)
    assert set(runs.filter(runs["dataset"] == "facts")["status"]) == {"failed"}
    assert set(runs.filter(runs["dataset"] == "arithmetic")["status"]) == {"done"}
    assert runs.filter(runs["dataset"] == "facts")["reason"].is_not_null().all()
    assert sftlab("report", study, "--store", store, "--out", tmp_path / "r.html").stdout

"""Every shipped benchmark with a local copy, on pretrained models and their siblings, killed twice."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.end_to_end.flow import sftlab, table
from tests.end_to_end.test_faults import start, wait_for_records

SUITE = Path(__file__).resolve().parents[2] / "examples" / "whole_suite.yaml"
STATUSES = {"done", "unfit"}


@pytest.mark.long
def test_whole_suite_killed_twice_leaves_no_cell_without_a_status(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTLAB_SHARED", str(shared))
    study, store = tmp_path / "suite.yaml", tmp_path / "store"
    study.write_text(SUITE.read_text().replace("items: 12", "items: 6"))
    for seconds in (15, 40):
        process = start(study, store)
        wait_for_records(store, process)
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert "0 failed" in sftlab("run", study, "--store", store).stdout
    scores = table(study, "scores", store)
    assert set(scores["status"]) <= STATUSES
    assert scores.filter(scores["status"] == "unfit")["reason"].is_not_null().all()
    assert scores.filter(scores["status"] == "done")["value"].is_not_null().all()
    assert scores["checkpoint"].n_unique() == 12 + 3
    assert scores["benchmark"].n_unique() == 15
    generated = scores.filter((scores["scorer"] == "generative") & (scores["status"] == "done"))
    assert generated["unparsed"].is_not_null().all()

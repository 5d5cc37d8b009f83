"""Measures of models on fixed texts in a whole study: texts of one's own, shared work, and a kill in the middle."""

import json
import time
from pathlib import Path

import pytest

from tests.end_to_end.flow import small_study
from tests.end_to_end.inline import TINY, rows, run
from tests.end_to_end.test_faults import kill_everything, start

TEXTS = 120


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One base and two runs of two epochs, measured on a file's texts; done in the store `whole` beside it."""
    folder = tmp_path_factory.mktemp("probe")
    made = small_study(folder, TINY)
    kept = [line for line in made.read_text().splitlines() if not line.startswith("measures:")]
    own = [{"line": f"The {place} th text is about {place * 7 % 11} birds."} for place in range(TEXTS)]
    (folder / "own.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in own))
    asked = ["probe_texts: {data: own.jsonl, column: line}", "measures: [dimension, loglik]", ""]
    made.write_text("\n".join([*kept, *asked]))
    assert run(made, folder / "whole").failed == ()
    return made


def statuses(study: Path, store: Path) -> set[str]:
    """How far the measures of models have come."""
    return {status for name in ("dimensions", "logliks") for status in rows(study, name, store)["status"]}


@pytest.mark.long
def test_measures_killed_in_the_middle_go_on_and_end_in_equal_tables(study: Path) -> None:
    whole, killed = study.parent / "whole", study.parent / "killed"
    process = start(study, killed)
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None and "done" not in statuses(study, killed):
        time.sleep(0.05)
    kill_everything(process)
    assert statuses(study, killed) == {"done", "pending"}
    assert run(study, killed).failed == ()
    for name in ("dimensions", "logliks"):
        assert rows(study, name, killed).equals(rows(study, name, whole)), name
    assert run(study, killed).done == 0


def test_every_model_is_asked_the_texts_of_the_file_and_anew_when_they_change(study: Path) -> None:
    store = study.parent / "whole"
    logliks = rows(study, "logliks", store)
    assert set(logliks.group_by("run", "epoch").len()["len"]) == {TEXTS}
    assert logliks["num_bytes"][0] == len("The 0 th text is about 0 birds.")
    assert logliks["log_likelihood"].max() < 0
    assert set(rows(study, "dimensions", store)["n"]) == {TEXTS}
    own = study.parent / "own.jsonl"
    own.write_text(own.read_text().replace("birds", "fish"))
    assert statuses(study, store) == {"pending"}

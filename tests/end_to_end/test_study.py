import json
import time
from pathlib import Path

import pytest

from tests.end_to_end.flow import sftlab, small_study, table


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that was run from its file to the end."""
    study = small_study(tmp_path_factory.mktemp("study"))
    answer = sftlab("run", study)
    assert "cells done, 0 failed" in answer.stdout
    return study


def store_of(study: Path) -> Path:
    return study.parent / ".sftlab"


def test_every_cell_is_done(done: Path) -> None:
    for name in ("runs", "checkpoints", "scores", "data"):
        frame = table(done, name, store_of(done))
        assert set(frame["status"]) == {"done"}, name


def test_training_lowers_the_loss_and_gains_are_paired_with_the_base(done: Path) -> None:
    runs = table(done, "runs", store_of(done))
    assert (runs["loss_last"] < runs["loss_first"]).all()
    scores = table(done, "scores", store_of(done))
    base = scores.filter(scores["dataset"] == "none")
    assert set(base["epoch"]) == {0}
    tuned = scores.filter(scores["dataset"] != "none")
    assert tuned["gain"].is_not_null().all()
    assert (tuned["gain_ci_low"] <= tuned["gain"]).all()
    assert (tuned["gain"] <= tuned["gain_ci_high"]).all()


def test_second_run_does_nothing_and_says_so_quickly(done: Path) -> None:
    start = time.monotonic()
    answer = sftlab("run", done)
    assert "nothing to do: the store holds every cell" in answer.stdout
    assert time.monotonic() - start < 10


def test_plan_holds_everything(done: Path) -> None:
    plan = json.loads(sftlab("plan", done, "--json").stdout)
    assert all(count["held"] == count["total"] for count in plan["cells"].values())
    assert plan["cost"]["train_tokens"] == 0


def test_a_changed_rate_touches_only_its_runs(done: Path) -> None:
    changed = done.with_name("changed.yaml")
    text = done.read_text()
    lora = next(line for line in text.splitlines() if "adapter: lora" in line)
    rate = lora.split("learning_rate: ")[1].split(",")[0].split("}")[0]
    changed.write_text(text.replace(lora, lora.replace(rate, "1.7e-3")))
    runs = json.loads(sftlab("plan", changed, "--json").stdout)["runs"]
    assert {run["held"] for run in runs if "/full/" in run["run"]} == {True}
    assert {run["held"] for run in runs if "/lora/" in run["run"]} == {False}


def test_status_counts_what_is_done(done: Path) -> None:
    status = json.loads(sftlab("status", done, "--json").stdout)
    assert status["failed"] == []
    assert status["running"] == []
    assert all(count["held"] == count["total"] > 0 for count in status["cells"].values())


def test_sql_asks_the_tables(done: Path) -> None:
    answer = sftlab("sql", done, "select base, count(*) as n from runs group by base order by base")
    assert answer.stdout.splitlines() == ["base,n", "llama-facts,4", "neox-skills,4"]


def test_wrong_sql_and_wrong_table_are_one_sentence(done: Path) -> None:
    assert sftlab("sql", done, "select nothing from nowhere", code=2).stderr.count("\n") == 1
    told = sftlab("table", done, "score", code=2).stderr
    assert "there is no table 'score' (did you mean 'scores'?); legal: runs, " in told
    assert told.rstrip().endswith("contamination, contaminated_items")


def test_sql_cannot_read_files(done: Path) -> None:
    assert "error:" in sftlab("sql", done, "select * from read_csv('/etc/passwd')", code=2).stderr


def test_analyse_answers_first(done: Path) -> None:
    lines = sftlab("analyse", done).stdout.splitlines()
    assert lines[0] == "Which data for which benchmark?"
    assert len(lines) > 10


def test_report_is_one_page_without_a_network(done: Path) -> None:
    page = Path(json.loads(sftlab("report", done, "--json").stdout)["report"])
    text = page.read_text()
    assert "Which data" in text
    assert 'src="http' not in text


def test_smoke_keeps_nothing(done: Path, tmp_path: Path) -> None:
    answer = sftlab("run", done, "--smoke", "--store", tmp_path / "store")
    assert "nothing of it was kept" in answer.stdout
    plan = json.loads(sftlab("plan", done, "--json", "--store", tmp_path / "store").stdout)
    assert plan["cells"]["runs"]["held"] == 0


def test_half_done_study_is_analysed_and_reported(done: Path, tmp_path: Path) -> None:
    wider = done.with_name("wider.yaml")
    wider.write_text(done.read_text().replace("seeds: [0]", "seeds: [0, 1]"))
    runs = table(wider, "runs", store_of(done))
    assert set(runs["status"]) == {"done", "pending"}
    assert sftlab("analyse", wider).stdout
    assert sftlab("report", wider, "--out", tmp_path / "half.html").stdout


def test_study_moved_to_another_folder_holds_the_same_cells(done: Path, tmp_path: Path) -> None:
    moved = small_study(tmp_path / "elsewhere")
    plan = json.loads(sftlab("plan", moved, "--json", "--store", store_of(done)).stdout)
    assert all(count["held"] == count["total"] for count in plan["cells"].values())


def test_one_changed_byte_of_data_touches_only_its_runs(done: Path, tmp_path: Path) -> None:
    moved = small_study(tmp_path / "elsewhere")
    (facts,) = (moved.parent / "data").glob("facts.*")
    content = facts.read_bytes()
    place = content.rindex(b"a")
    facts.write_bytes(content[:place] + b"e" + content[place + 1 :])
    runs = json.loads(sftlab("plan", moved, "--json", "--store", store_of(done)).stdout)["runs"]
    assert {run["held"] for run in runs if "/facts/" in run["run"]} == {False}
    assert {run["held"] for run in runs if "/arithmetic/" in run["run"]} == {True}

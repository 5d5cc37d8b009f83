"""What is wrong with a study's texts, planted and found by the audit and on the page."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sftlab.cli import app
from sftlab.plan.data_checks import data_checks
from sftlab.plan.opening import open_study
from sftlab.pocket.files import PocketDesign, write_pocket_study

ASKED = "which of the seven bridges of the old town was built by the merchants' guild"
STORY = "the miller of the valley went to the market with a sack of grain and came home with a goose"


def write(path: Path, *pairs: tuple[str, str]) -> None:
    path.write_text("".join(json.dumps({"question": one, "answer": other}) + "\n" for one, other in pairs))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = write_pocket_study(
        tmp_path, design=PocketDesign(bases=("llama-facts",), datasets=("facts",), samples=16, items=4)
    )
    write(tmp_path / "own.jsonl", (ASKED, "the third"), ("who is it", "me"))
    write(tmp_path / "one.jsonl", ("why", "so"), (f"Tell me: {ASKED}?", "the third"), (STORY, "good"))
    baked = "### Instruction: say why ### Response:"
    write(tmp_path / "two.jsonl", (f"{STORY} once", "good"), (baked, "so"), ("who", "me"))
    text = path.read_text().replace("  benchmarks:", "  benchmarks:\n    - {data: own.jsonl, items: all}", 1)
    added = "".join(f"\n  {name}: {{path: {name}.jsonl, short: allow}}" for name in ("one", "two"))
    path.write_text(text.replace("datasets:", f"datasets:{added}", 1))
    return path


def test_templates_shared_examples_and_contamination_are_found_once_and_kept(study, tmp_path):
    opened = open_study(study, tmp_path / "store")
    found = data_checks(opened).found
    planted = {
        (row["check"], row["dataset"], row["other"]): (row["count"], row["of"])
        for row in found.iter_rows(named=True)
        if row["dataset"] in {"one", "two"} and row["other"] in {None, "one", "two", "own"}
    }
    assert planted == {
        ("baked_template", "two", None): (1, 3),
        ("shared_examples", "one", "two"): (1, 3),
        ("contamination", "one", "own"): (1, 1),
    }
    again = data_checks(open_study(study, tmp_path / "store"), seconds=0)
    assert again.found.equals(found)
    assert (again.left, again.not_checked) == (0, None)


def test_checks_that_there_is_no_time_for_are_counted_and_made_the_next_time(study, tmp_path):
    opened, told = open_study(study, tmp_path / "store"), []
    none = data_checks(opened, seconds=0, on_check=lambda *step: told.append(step))
    datasets, benchmarks = len(opened.resolved.dataset_digests), len(opened.resolved.benchmarks)
    every = datasets + datasets * (datasets - 1) // 2 + datasets * benchmarks
    assert (none.left, none.found.height) == (every, 0)
    assert told == [(done, every) for done in range(every)]
    assert f"{every} comparisons of datasets were left out" in none.not_checked
    assert data_checks(opened).found.height >= 3


def test_texts_that_are_not_here_leave_what_the_others_show(study, tmp_path):
    opened = open_study(study, tmp_path / "store")
    (study.parent / "own.jsonl").unlink()
    checks = data_checks(opened)
    assert "own" in checks.not_checked
    assert "baked_template" in checks.found["check"].to_list()


def test_analyse_looks_through_texts_and_says_what_it_left_out(study, tmp_path):
    done = CliRunner().invoke(app, ["analyse", str(study), "--store", str(tmp_path / "store"), "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["texts_not_checked"] is None
    assert {"baked_template", "contamination"} <= {finding["check"] for finding in answer["audit"]}


def test_the_audit_names_them(study, tmp_path):
    done = CliRunner().invoke(app, ["audit", str(study), "--store", str(tmp_path / "store"), "--json"])
    assert done.exit_code == 0
    answer = json.loads(done.stdout)
    assert answer["texts_not_checked"] is None
    texts = {finding["check"]: finding["text"] for finding in answer["findings"] if "two" in str(finding["rows"])}
    assert texts["baked_template"] == "1 example of 3 (33.3 %) of two hold a template in their text"
    assert texts["shared_examples"] == "1 example of 3 (33.3 %) of one stand in two too, or nearly"
    contaminated = [finding for finding in answer["findings"] if finding["check"] == "contamination"]
    assert any("of own stand in the training set one" in finding["text"] for finding in contaminated)


def test_the_report_tells_of_contamination(study, tmp_path):
    page = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["report", str(study), "--store", str(tmp_path / "store"), "--out", str(page)])
    assert done.exit_code == 0, done.output
    assert "of own stand in the training set one" in page.read_text()

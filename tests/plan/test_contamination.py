"""Training sets that hold items of the study's benchmarks, from the study file to the tables."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sftlab.cli import app
from sftlab.plan.contamination import contamination_tables
from sftlab.plan.opening import open_study
from sftlab.pocket.files import PocketDesign, write_pocket_study

ASKED = "which of the seven bridges of the old town was built by the merchants' guild"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    design = PocketDesign(bases=("llama-facts",), datasets=("facts",), samples=16, items=4)
    path = write_pocket_study(tmp_path, design=design)
    asked = [{"question": ASKED, "answer": "the third"}, {"question": "who is it", "answer": "me"}]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    (tmp_path / "copied.jsonl").write_text(
        json.dumps({"question": "why", "answer": "so"})
        + "\n"
        + json.dumps({"question": f"Tell me: {ASKED.title()}?", "answer": "the third"})
        + "\n"
    )
    text = path.read_text().replace("  benchmarks:", "  benchmarks:\n    - {data: own.jsonl, items: all}", 1)
    path.write_text(text.replace("datasets:", "datasets:\n  copied: {path: copied.jsonl, short: allow}", 1))
    return path


def test_contaminated_items_are_counted_and_listed(study: Path, tmp_path: Path) -> None:
    opened = open_study(study, tmp_path / "store")
    found = contamination_tables(opened)
    (own,) = [row for row in found.contamination.to_dicts() if (row["dataset"], row["benchmark"]) == ("copied", "own")]
    assert own == {
        "dataset": "copied",
        "benchmark": "own",
        "examples": 2,
        "tested": 1,
        "untested": 1,
        "contaminated": 1,
        "share": 1.0,
    }
    (listed,) = [row for row in found.contaminated_items.to_dicts() if row["benchmark"] == "own"]
    assert (listed["dataset"], listed["item"], listed["example"]) == ("copied", "0", 1)
    assert listed["text"].split()[:4] == ["which", "of", "the", "seven"]
    assert contamination_tables(opened).contamination.equals(found.contamination)


@pytest.mark.parametrize("name", ["contamination", "contaminated_items"])
def test_contamination_is_printed_as_a_table(name: str, study: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["table", str(study), name, "--store", str(tmp_path / "store"), "--json"])
    assert done.exit_code == 0
    assert any((row["dataset"], row["benchmark"]) == ("copied", "own") for row in json.loads(done.stdout))

"""What a plan says a study could see."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from sftlab.analyse.planned_power import TYPICAL_BITS, Design, smallest_choice, smallest_difference
from sftlab.analyse.power import smallest_correlation
from sftlab.plan.power import StudyPower, power_lines, seen_spreads, study_power
from sftlab.plan.resolve import resolve
from sftlab.store import Store
from sftlab.study.declaration import Study
from tests.analyse import synthetic


@pytest.fixture
def fields(tmp_path: Path) -> dict[str, object]:
    bases = []
    for name in ("one", "two", "three"):
        folder = tmp_path / name
        folder.mkdir()
        save_file({"w": np.zeros((4, 4), np.float32)}, folder / "model.safetensors")
        for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            (folder / file).write_text("{}")
        bases.append({"name": name, "model": str(folder)})
    rows = [{"question": f"{row:020d}", "answer": "a"} for row in range(60)]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = {"path": str(tmp_path / "data.jsonl")}
    return {
        "study": "s",
        "bases": bases,
        "datasets": dict.fromkeys(("d", "e", "f", "g", "h"), data),
        "methods": {"full": {}, "lora": {"adapter": "lora", "learning_rate": [1e-4, 1e-3], "select": "validation"}},
        "samples": 40,
        "template": "question_answer",
        "measures": ["length"],
        "seeds": [0, 1],
        "evaluation": {"benchmarks": [{"data": str(tmp_path / "data.jsonl")}], "items": 40},
    }


def power(fields: dict[str, object], folder: Path, **changes: object) -> StudyPower:
    store = Store(folder / "store")
    found = study_power(resolve(Study.model_validate({**fields, **changes}), store), store)
    assert found is not None
    return found


def test_power_is_that_of_the_design_with_typical_spreads(fields: dict[str, object], tmp_path: Path) -> None:
    found = power(fields, tmp_path)
    design = Design(families=3, bases=1, datasets=5, recipes=2, seeds=2, items=40)
    assert replace(found.design, items=40) == design
    (one,) = found.benchmarks
    assert one.new_bases == smallest_difference(design, TYPICAL_BITS, new_bases=True, questions=10)
    assert one.these_bases == smallest_difference(design, TYPICAL_BITS, new_bases=False, questions=10)
    assert one.choice == smallest_choice(design, TYPICAL_BITS, questions=1)
    assert found.correlation == smallest_correlation(5, level=0.05 / found.questions["properties"])
    lines = power_lines(found)
    assert "3 base families, 5 datasets, 2 seeds and 40 items a benchmark" in lines[0]
    assert "corrected for 10 questions" in lines[0]
    assert "on data" in lines[0]


def test_single_base_is_said_to_speak_of_itself_alone(fields: dict[str, object], tmp_path: Path) -> None:
    bases = fields["bases"]
    assert isinstance(bases, list)
    found = power(fields, tmp_path, bases=bases[:1], methods={"full": {}})
    (one,) = found.benchmarks
    assert (one.new_bases, one.choice) == (None, None)
    assert one.these_bases is not None
    assert any("single base says nothing of other bases" in line for line in power_lines(found))


def test_study_without_benchmarks_has_no_power_to_tell(fields: dict[str, object], tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert study_power(resolve(Study.model_validate({**fields, "evaluation": {}}), store), store) is None


def test_bases_of_one_family_are_the_units(fields: dict[str, object], tmp_path: Path) -> None:
    bases = fields["bases"]
    assert isinstance(bases, list)
    found = power(fields, tmp_path, bases=[{**base, "family": "same"} for base in bases])
    assert (found.design.families, found.units) == (3, "base")


def test_spreads_are_those_of_the_store_where_it_has_scores(tmp_path: Path) -> None:
    cells, store = synthetic.write(synthetic.Design(bases=6, epochs=1, seeds=1, items=60), tmp_path)
    seen = seen_spreads(replace(cells, scores=cells.scores[: 6 + 48]), store)
    assert list(seen) == ["arithmetic_test"]
    assert seen["arithmetic_test"].interaction == pytest.approx(0.05, rel=0.4)
    assert seen["arithmetic_test"].source == "as seen so far"

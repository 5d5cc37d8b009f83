"""Every mistake in a study file gets one sentence: the line, what was got, what is legal, the nearest name."""

from pathlib import Path

import pytest
import yaml

from sftlab.errors import StudyError
from sftlab.study.reading import load_study

GOOD = """\
study: good
bases:
  - {name: one, model: ./base}
  - {name: two, model: ./base}
datasets:
  alpaca: {path: data.json}
  gsm8k: {path: data.json, prompt: question, response: answer}
methods:
  full: {learning_rate: 1e-3, batch_size: 8}
  lora: {adapter: lora, rank: 8, learning_rate: [1e-3, 2e-3]}
samples: [100]
seeds: [0, 1]
evaluation:
  benchmarks: [gsm8k, {name: nq, data: data.json, items: 5}]
"""

WRONG = yaml.safe_load(Path(__file__).with_name("wrong_studies.yaml").read_text())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base").mkdir()
    (tmp_path / "data.json").write_text("[]")
    return tmp_path


@pytest.mark.parametrize("mistake", WRONG, ids=lambda mistake: mistake["written"][:40])
def test_wrong_study_is_told_in_one_sentence(folder: Path, mistake: dict[str, str]) -> None:
    replaced = GOOD if mistake["instead_of"] == "(the whole file)" else mistake["instead_of"]
    assert replaced in GOOD
    (folder / "study.yaml").write_text(GOOD.replace(replaced, mistake["written"], 1))
    with pytest.raises(StudyError) as caught:
        load_study(folder / "study.yaml")
    assert mistake["said"] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_good_study_is_read(folder: Path) -> None:
    (folder / "study.yaml").write_text(GOOD)
    study = load_study(folder / "study.yaml")
    assert study.methods["full"].learning_rate == (1e-3,)
    assert study.datasets["alpaca"].path == str(folder / "data.json")
    assert [base.model for base in study.bases] == [str(folder / "base")] * 2


def test_variables_in_paths_are_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_FOLDER", str(folder))
    (folder / "study.yaml").write_text(GOOD.replace("{path: data.json}", "{path: '${DATA_FOLDER}/data.json'}", 1))
    assert load_study(folder / "study.yaml").datasets["alpaca"].path == str(folder / "data.json")


def test_missing_study_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"there is no study file .*; `sftlab init` writes one"):
        load_study(tmp_path / "nowhere.yaml")


def test_binary_study_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(StudyError, match="cannot be read"):
        load_study(tmp_path / "study.yaml")

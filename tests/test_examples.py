import json
from pathlib import Path

import pytest

from sftlab.plan.resolve import resolve
from sftlab.pocket.catalogue import bases_folder
from sftlab.pocket.files import write_pocket_study
from sftlab.store import Store
from sftlab.study.reading import load_study
from tests.end_to_end.flow import sftlab

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def test_real_data_example_resolves(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTLAB_SHARED", str(shared))
    cells = resolve(load_study(EXAMPLES / "real_data.yaml"), Store(tmp_path)).cells
    assert len(cells.runs) == 3 * 4 * 2 * 2
    assert len(cells.scores) == (48 + 3) * 5


def test_whole_suite_example_resolves(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTLAB_SHARED", str(shared))
    cells = resolve(load_study(EXAMPLES / "whole_suite.yaml"), Store(tmp_path)).cells
    assert (len(cells.runs), len(cells.scores)) == (12, (12 + 3) * 15)


def test_properties_example_resolves(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pocket_study(tmp_path)
    monkeypatch.setenv("SFTLAB_POCKET", str(tmp_path))
    monkeypatch.setenv("SFTLAB_POCKET_BASES", str(bases_folder()))
    monkeypatch.setenv("SFTLAB_SHARED", str(shared))
    cells = resolve(load_study(EXAMPLES / "properties.yaml"), Store(tmp_path / "store")).cells
    assert (len(cells.runs), len(cells.scores)) == (7 * 10 * 2, (7 * 10 * 2 + 7) * 7)


def test_paper_example_is_planned_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    planned = json.loads(sftlab("plan", EXAMPLES / "paper.yaml", "--store", tmp_path / "store", "--json").stdout)
    cost = planned["cost"]
    assert (cost["trainings"], cost["models"]) == (341, 1070)
    assert len(planned["runs"]) == len({run["identity"] for run in planned["runs"]}) == 341
    assert planned["cells"]["scores"]["total"] == (1070 + 12) * 17
    assert len(planned["provisional"]) == 12 + 10
    examples = 240 * 1000 + 24 * 10000 + 30 * 1000 + 27 * 20000 + 20 * 9000
    assert cost["train_tokens"] == pytest.approx(examples * 10 * 1000 / 3, rel=1e-3)
    alone = examples * 10 + 4.5 * 10 * (24 * 10000 + 30 * 1000 + 27 * 20000)
    assert cost["tokens_alone"] == pytest.approx(alone * 1000 / 3, rel=1e-3)


def test_paper_example_prints_its_cost_beside_the_papers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    said = sftlab("plan", EXAMPLES / "paper.yaml", "--store", tmp_path / "store").stdout
    for part in (
        "1070 models to score and 12 bases, out of 341 trainings",
        "GPU-hours of training",
        "4.0 times as many",
        "Sarashina2-7B 7B",
        "spent: 1,070 models, 530 GPU-hours of training, 16,700 GPU-hours of evaluation, 80 TB of checkpoints",
    ):
        assert part in said

"""What the missing work costs, against counts made by hand."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from sftlab.plan.cost import CUDA_FLOPS, Cost, estimate_cost
from sftlab.plan.devices import Device
from sftlab.plan.resolve import resolve
from sftlab.plan.tasks import pending_jobs
from sftlab.store import Store
from sftlab.study.declaration import Study

GPU = (Device("cuda", 0, "a GPU", None),)
WEIGHTS = 64 * 64
EXAMPLE_BYTES = 30


@pytest.fixture
def fields(tmp_path: Path) -> dict[str, object]:
    base = tmp_path / "base"
    base.mkdir()
    save_file({"w": np.zeros((64, 64), np.float32)}, base / "model.safetensors")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (base / name).write_text("{}")
    rows = [{"question": f"{row:020d}", "answer": "a" * (EXAMPLE_BYTES - 20)} for row in range(40)]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return {
        "study": "s",
        "bases": [{"name": "b", "model": str(base)}],
        "datasets": {"d": {"path": str(tmp_path / "data.jsonl")}},
        "methods": {"full": {"batch_size": 4}},
        "samples": 12,
        "template": "question_answer",
        "measures": [],
        "evaluation": {"benchmarks": [{"data": str(tmp_path / "data.jsonl")}], "items": 10},
    }


def cost(fields: dict[str, object], folder: Path, **changes: object) -> Cost:
    store = Store(folder / "store")
    resolved = resolve(Study.model_validate({**fields, **changes}), store)
    return estimate_cost(resolved, pending_jobs(resolved, store), store, GPU)


def test_training_costs_six_operations_for_each_weight_and_token(fields: dict[str, object], tmp_path: Path) -> None:
    found = cost(fields, tmp_path, epochs=3)
    tokens = 12 * EXAMPLE_BYTES // 3 * 3
    assert (found.train_tokens, found.trainings, found.models) == (tokens, 1, 1)
    held_out = 2 * EXAMPLE_BYTES // 3 * 3
    assert found.validation_tokens == held_out
    assert found.train_gpu_hours == pytest.approx(WEIGHTS * (6 * tokens + 2 * held_out) / CUDA_FLOPS / 3600)
    assert found.validation_share == pytest.approx(2 * held_out / (6 * tokens + 2 * held_out))
    assert found.evaluation_gpu_hours == pytest.approx(2 * (2 * WEIGHTS * 10 * 200) / CUDA_FLOPS / 3600)
    assert found.device_hours == pytest.approx(found.train_gpu_hours + found.evaluation_gpu_hours)
    assert found.disk_bytes == WEIGHTS * 4


def test_runs_of_one_trajectory_are_paid_once(fields: dict[str, object], tmp_path: Path) -> None:
    shared = cost(fields, tmp_path, epochs=[1, 2, 4])
    assert (shared.trainings, shared.models) == (1, 3)
    assert shared.train_tokens == 12 * 10 * 4
    assert shared.tokens_alone == 12 * 10 * (1 + 2 + 4)
    apart = cost(fields, tmp_path, epochs=[1, 2, 4], schedule="cosine")
    assert apart.train_tokens == apart.tokens_alone == shared.tokens_alone


def test_every_scored_epoch_is_a_model(fields: dict[str, object], tmp_path: Path) -> None:
    block = {"base": "b", "dataset": "d", "method": "full", "samples": 12, "epochs": 4, "schedule": "cosine"}
    found = cost(fields, tmp_path, runs=[{**block, "score_epochs": "all"}])
    assert (found.trainings, found.models, found.tokens_alone) == (1, 4, 12 * 10 * (1 + 2 + 3 + 4))


def test_epoch_that_two_runs_share_is_one_model(fields: dict[str, object], tmp_path: Path) -> None:
    block = {"base": "b", "dataset": "d", "method": "full", "samples": 12, "epochs": [1, 2]}
    found = cost(fields, tmp_path, runs=[{**block, "score_epochs": "all"}])
    assert (found.trainings, found.models, found.tokens_alone) == (1, 2, 12 * 10 * (1 + 2))


def test_steps_cost_their_examples_and_not_whole_epochs(fields: dict[str, object], tmp_path: Path) -> None:
    assert cost(fields, tmp_path, steps=4).train_tokens == 4 * 4 * 10


def test_base_of_unknown_size_is_named(fields: dict[str, object], tmp_path: Path) -> None:
    pinned = {"model": "nobody/none", "revision": "0" * 40}
    found = cost(fields, tmp_path, bases=[pinned])
    assert found.unknown_sizes == ("none",)
    stated = cost(fields, tmp_path, bases=[{**pinned, "parameters": 1e9}])
    assert stated.unknown_sizes == ()
    operations = 6e9 * stated.train_tokens + 2e9 * stated.validation_tokens
    assert stated.train_gpu_hours == pytest.approx(operations / CUDA_FLOPS / 3600)


def test_held_out_examples_are_paid_after_every_epoch(fields: dict[str, object], tmp_path: Path) -> None:
    without = cost(fields, tmp_path, epochs=4, validation=0)
    assert (without.validation_tokens, without.validation_share) == (0, 0)
    half = cost(fields, tmp_path, epochs=4, validation=0.7, methods={"lora": {"adapter": "lora", "batch_size": 4}})
    assert half.validation_tokens == 28 * 10 * 4
    assert half.validation_share == pytest.approx(2 * 28 / (2 * 28 + 4 * 12))


def test_study_of_ten_thousand_cells_is_planned_in_seconds(fields: dict[str, object], tmp_path: Path) -> None:
    start = time.process_time()
    found = cost(fields, tmp_path, seeds=list(range(1250)), schedule=["constant", "cosine"], epochs=[1, 2])
    assert found.models == 5000
    assert time.process_time() - start < 5

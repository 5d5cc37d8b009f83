"""Every architecture through a run, against a plain loop over transformers' own loss with attention written out."""

import math
from pathlib import Path

import numpy as np
import peft
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from sftlab.lm.adapters import inject_lora, linear_modules
from sftlab.lm.encoding import EncodedExamples
from sftlab.lm.parameters import layer_of
from sftlab.study.methods import Full, Lora
from sftlab.study.run import RunSpec
from sftlab.train.order import epoch_batches
from tests.lm.architectures import ARCHITECTURES, WINDOW, load_architecture, plain_architecture
from tests.train.runs import FULL, LORA, data, spec, train

EXAMPLES = 20
EPSILON = 1e-5
"""Large enough that AdamW does not turn the rounding of gradients that are zero (GPT-2's key biases) into steps."""


def _spec(method: Full | Lora) -> RunSpec:
    method = method.model_copy(update={"epsilon": EPSILON})
    return spec(method=method, epochs=1, schedule="constant", warmup_steps=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("architectures")


def _padded(encoded: EncodedExamples, numbers: np.ndarray) -> dict[str, torch.Tensor]:
    columns = {"input_ids": 0, "labels": -100, "attention_mask": 0}
    shape = (len(numbers), int(encoded.lengths[numbers].max()))
    batch = {name: torch.full(shape, empty) for name, empty in columns.items()}
    for row, number in enumerate(numbers):
        span = slice(encoded.offsets[number], encoded.offsets[number + 1])
        ids, learned = torch.tensor(encoded.ids[span].astype(np.int64)), torch.tensor(encoded.learned[span])
        batch["input_ids"][row, : len(ids)] = ids
        batch["labels"][row, : len(ids)] = torch.where(learned, ids, -100)
        batch["attention_mask"][row, : len(ids)] = 1
    return batch


def plain_loop(model: torch.nn.Module, encoded: EncodedExamples, run: RunSpec) -> list[float]:
    """Train in place as a user would, one padded batch a step, and return every step's loss."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=run.learning_rate, weight_decay=0.0, eps=EPSILON)
    model.train()
    losses = []
    for epoch in range(1, run.epochs + 1):
        for numbers in epoch_batches(encoded, batch_size=run.batch_size, seed=run.seeds.order, epoch=epoch):
            loss = model(**_padded(encoded, numbers)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, run.method.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    model.eval()
    return losses


def _logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.arange(6, 6 + 3 * WINDOW)[None]).logits


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_full_run_is_that_of_a_plain_loop(name, folder, tmp_path):
    base = load_architecture(folder, name)
    given = data(base, tmp_path, count=EXAMPLES, held_out=0)
    assert given.train.lengths.min() > 2 * WINDOW
    run = _spec(FULL)
    ours = train(base, run, given, tmp_path, max_micro_tokens=300)
    model = plain_architecture(folder, name)
    losses = plain_loop(model.requires_grad_(True), given.train, run)
    assert ours.rows["losses"]["loss"].to_list() == pytest.approx(losses, rel=1e-5)
    theirs = dict(model.named_parameters())
    for weight_name, weight in base.weights().items():
        assert torch.allclose(weight, theirs[weight_name], rtol=0.0, atol=1e-5), weight_name
    opened, facts = AutoModelForCausalLM.from_pretrained(
        tmp_path / "checkpoints" / "epoch-1", dtype=torch.float32, output_loading_info=True
    )
    assert not facts["missing_keys"]
    assert not facts["unexpected_keys"]
    assert torch.allclose(_logits(opened), _logits(model), atol=1e-4)
    assert torch.equal(_logits(opened.eval()), _logits(base.model))
    _assert_weight_change_is_that_of(theirs, base.pristine, ours.rows["layers"])


def _assert_weight_change_is_that_of(tuned: dict, before: dict, layers: pl.DataFrame) -> None:
    for layer in (0, 1, None):
        names = [name for name in before if layer is None or layer_of(name) == layer]
        change = math.sqrt(sum(float((tuned[name].double() - before[name].double()).square().sum()) for name in names))
        norm = math.sqrt(sum(float(before[name].double().square().sum()) for name in names))
        row = layers.filter(pl.col("layer").eq_missing(layer) & (pl.col("part") == "all"))
        assert row["relative_change"].to_list() == pytest.approx([change / norm], rel=1e-4)
        assert change > 0
    inside = layers.filter(pl.col("layer").is_not_null())
    assert sorted(set(inside["part"])) == ["all", "attention", "mlp", "norm"]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_lora_run_is_that_of_a_plain_loop_with_peft(name, folder, tmp_path):
    base = load_architecture(folder, name)
    given = data(base, tmp_path, count=EXAMPLES, held_out=0)
    run = _spec(LORA)
    start = inject_lora(base.model, LORA, seed=run.seeds.init, base_model=name)
    (tmp_path / "start").mkdir()
    start.save(tmp_path / "start")
    start.unload()
    ours = train(base, run, given, tmp_path, max_micro_tokens=300)
    model = peft.PeftModel.from_pretrained(plain_architecture(folder, name), tmp_path / "start", is_trainable=True)
    losses = plain_loop(model, given.train, run)
    assert ours.rows["losses"]["loss"].to_list() == pytest.approx(losses, rel=1e-5)
    tensors = load_file(tmp_path / "checkpoints" / "epoch-1" / "adapter_model.safetensors")
    moved = {key for key, tensor in tensors.items() if ".lora_B." in key and tensor.abs().max() > 1e-3}
    assert moved == {f"base_model.model.{module}.lora_B.weight" for module in linear_modules(base.model)}
    opened = peft.PeftModel.from_pretrained(
        plain_architecture(folder, name), tmp_path / "checkpoints" / "epoch-1"
    ).eval()
    unmerged = _logits(opened)
    assert torch.allclose(unmerged, _logits(model), atol=1e-4)
    assert torch.allclose(unmerged, _logits(base.model), atol=1e-5)
    merged = opened.merge_and_unload()
    assert torch.allclose(unmerged, _logits(merged), atol=1e-5)
    _assert_weight_change_is_that_of(dict(merged.named_parameters()), base.pristine, ours.rows["layers"])

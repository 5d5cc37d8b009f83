"""Weights and moments in the host's memory: the same run to the last bit, and less on the device."""

import pytest
import torch
from safetensors.torch import load_file

from sftlab.errors import StudyError
from sftlab.study.identity import digest
from sftlab.study.methods import Full
from sftlab.train.masters import place_masters
from sftlab.train.trainable import make_trainable
from tests.lm.models import MODELS, load
from tests.train.runs import FULL, LORA, data, spec, train

MIXED = {"weights": "float32", "compute": "bfloat16"}
PRECISIONS = {"mixed": MIXED, "float32": {}, "bfloat16": {"weights": "bfloat16", "compute": "bfloat16"}}


def offloaded(method=FULL):
    return method.model_copy(update={"offload": "optimizer"})


def trained(base, method, folder, **control):
    given = data(base, folder / "data")
    run = spec(method=method, precision=base.precision)
    result = train(base, run, given, folder, max_micro_tokens=100, **control)
    return result, {name: weight.clone() for name, weight in base.weights().items()}


def assert_same_bits(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype, name
        assert torch.equal(tensor, other[name]), name


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_offloaded_run_is_the_same_to_the_last_bit(kind, precision, bases, tmp_path):
    base = load(bases, kind, **PRECISIONS[precision])
    usual, weights = trained(base, FULL, tmp_path / "usual")
    other, same = trained(base, offloaded(), tmp_path / "offloaded")
    for table in ("losses", "validation", "layers"):
        assert usual.rows[table].equals(other.rows[table]), table
    assert_same_bits(same, weights)
    file = "checkpoints/epoch-2/model.safetensors"
    assert_same_bits(load_file(tmp_path / "offloaded" / file), load_file(tmp_path / "usual" / file))
    assert max(float((weights[name] - base.pristine[name]).abs().max()) for name in weights) > 1e-3


def test_offloaded_adapter_is_the_same_to_the_last_bit(bases, tmp_path):
    base = load(bases, "llama", **MIXED)
    usual, weights = trained(base, LORA, tmp_path / "usual")
    other, same = trained(base, offloaded(LORA), tmp_path / "offloaded")
    assert usual.rows["losses"].equals(other.rows["losses"])
    assert_same_bits(same, weights)


def test_device_holds_matrices_in_bfloat16_and_no_gradients_while_it_trains(bases, tmp_path):
    base = load(bases, "llama", **MIXED)
    weights = base.weights()
    seen = []

    def look(_progress) -> None:
        seen.append({name for name, weight in weights.items() if weight.dtype == torch.bfloat16})
        assert all(weight.grad is None for weight in weights.values())

    trained(base, offloaded(), tmp_path, on_progress=look)
    matrices = {f"{name}.weight" for name, module in base.model.named_modules() if isinstance(module, torch.nn.Linear)}
    assert seen[-1] == matrices - {"lm_head.weight"}
    assert all(weight.dtype == torch.float32 for weight in weights.values())
    assert base.masters == {}


def test_failed_offloaded_run_leaves_the_base_untouched(bases, tmp_path):
    base = load(bases, "llama", **MIXED)

    def fail(progress) -> None:
        if progress.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(base, offloaded(), tmp_path, on_progress=fail)
    assert_same_bits({name: weight.data for name, weight in base.weights().items()}, base.pristine)


def test_where_moments_are_is_no_other_recipe_and_their_bits_are():
    plain, eight = spec(method=FULL), spec(method=FULL.model_copy(update={"optimizer": "adamw_8bit"}))
    assert digest(spec(method=offloaded()).recipe) == digest(plain.recipe) != digest(eight.recipe)
    assert "optimizer" not in plain.recipe["method"]


def test_moments_are_held_in_as_many_bits_as_said(bases):
    pytest.importorskip("bitsandbytes")
    from sftlab.train.optimizer import make_optimizer

    base = load(bases, "llama")
    run = spec(method=Full(learning_rate=1e-3, batch_size=8, optimizer="adamw_8bit"))
    weights = place_masters(base, make_trainable(base, run).parameters, run.method).parameters
    optimizer = make_optimizer(weights, run)
    for weight in weights.values():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    bits = {name: optimizer.state[weight]["state1"].element_size() * 8 for name, weight in weights.items()}
    assert bits["lm_head.weight"] == 8
    assert bits["model.embed_tokens.weight"] == bits["model.norm.weight"] == 32


def test_absent_package_is_one_sentence(monkeypatch):
    from sftlab.lm import bitsandbytes

    monkeypatch.setattr(bitsandbytes, "find_spec", lambda _: None)
    bitsandbytes.load_bitsandbytes.cache_clear()
    with pytest.raises(StudyError, match="needs the package bitsandbytes, which is not installed"):
        bitsandbytes.load_bitsandbytes()

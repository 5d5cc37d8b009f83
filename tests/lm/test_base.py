"""Loading, resetting in place, checkpoints, and the sentence for each thing that cannot be loaded."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from sftlab.errors import ModelError
from sftlab.lm.adapters import inject_lora
from sftlab.lm.base import load_base
from sftlab.study.declaration import BaseRef, Precision
from sftlab.study.methods import Lora
from tests.lm.models import MODELS, load, write_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("bases")


def _load(path: Path, **precision: str):
    return load_base(BaseRef(name="tiny", model=str(path)), device="cpu", precision=Precision(**precision))


def _logits(base) -> torch.Tensor:
    with torch.inference_mode():
        return base.model(input_ids=torch.arange(3, 15)[None]).logits


@pytest.mark.parametrize("kind", MODELS)
def test_base_knows_its_tokens_and_context(kind, folder):
    base = load(folder, kind)
    assert base.context_length == 256
    assert base.eos_id == base.tokenizer.convert_tokens_to_ids("</s>")
    assert 0 <= base.pad_id < len(base.tokenizer)
    assert (base.bos_id is None) == (kind == "gpt2")
    assert not base.model.training
    assert not any(weight.requires_grad for weight in base.weights().values())


@pytest.mark.parametrize("kind", MODELS)
def test_reset_restores_every_bit(kind, folder):
    base = load(folder, kind)
    before = _logits(base)
    base.adapter = inject_lora(base.model, Lora(adapter="lora", rank=2), seed=0, base_model="tiny")
    with torch.no_grad():
        for _, parameter in base.adapter.parameters():
            parameter.add_(0.1)
        for weight in base.weights().values():
            weight.add_(0.01)
    assert not torch.equal(_logits(base), before)
    base.holding = "something"
    base.reset()
    assert torch.equal(_logits(base), before)
    assert base.holding is None
    assert base.adapter is None


@pytest.mark.parametrize("kind", MODELS)
def test_checkpoint_gives_its_weights_and_reset_gives_the_base_again(kind, folder, tmp_path):
    base = load(folder, kind)
    before = _logits(base)
    with torch.no_grad():
        for weight in base.weights().values():
            weight.add_(0.05)
    tuned = _logits(base)
    base.model.save_pretrained(tmp_path)
    base.load_checkpoint(tmp_path)
    assert torch.equal(_logits(base), tuned)
    base.reset()
    assert torch.equal(_logits(base), before)


def test_checkpoint_of_another_model_is_refused_and_leaves_the_base(folder):
    base = load(folder, "llama")
    before = _logits(base)
    load(folder, "gpt2")
    with pytest.raises(ModelError):
        base.load_checkpoint(folder / "gpt2")
    assert torch.equal(_logits(base), before)


def test_bfloat16_weights_are_held_in_bfloat16(folder):
    base = load(folder, "llama", weights="bfloat16", compute="bfloat16")
    assert {weight.dtype for weight in base.weights().values()} == {torch.bfloat16}


def test_mixed_precision_computes_in_bfloat16_from_float32_weights(folder):
    base = load(folder, "llama", weights="float32", compute="bfloat16")
    exact = _logits(base)
    with base.computing():
        mixed = _logits(base)
    assert {weight.dtype for weight in base.weights().values()} == {torch.float32}
    assert mixed.dtype == torch.bfloat16
    assert 0 < (mixed.float() - exact).abs().max() < 0.05


def test_bfloat16_weights_with_float32_compute_are_refused(folder):
    with pytest.raises(ModelError, match="bfloat16 weights cannot compute in float32"):
        load(folder, "llama", weights="bfloat16", compute="float32")


@pytest.fixture
def broken(folder, tmp_path) -> Path:
    load(folder, "gpt2")
    shutil.copytree(folder / "gpt2", tmp_path / "broken")
    return tmp_path / "broken"


def test_folder_with_pickled_weights_only_is_refused(broken):
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin, which can run code"):
        _load(broken)


def test_cut_off_weights_are_refused(broken):
    content = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="cannot be loaded"):
        _load(broken)


def test_incomplete_weights_are_refused(broken):
    from safetensors.torch import load_file, save_file

    tensors = load_file(broken / "model.safetensors")
    del tensors["transformer.h.1.mlp.c_fc.weight"]
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"incomplete: transformer\.h\.1\.mlp\.c_fc\.weight"):
        _load(broken)


def test_tokenizer_without_end_is_refused(broken):
    for name in ("tokenizer_config.json", "config.json"):
        content = json.loads((broken / name).read_text())
        content.pop("eos_token", None)
        content["eos_token_id"] = None
        (broken / name).write_text(json.dumps(content))
    (broken / "generation_config.json").unlink()
    with pytest.raises(ModelError, match="end-of-sequence"):
        _load(broken)


def test_folder_that_is_no_model_is_one_sentence(tmp_path):
    with pytest.raises(ModelError) as error:
        _load(tmp_path)
    assert "\n" not in str(error.value)


def test_hub_id_without_a_hub_is_one_sentence(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="use a local folder") as error:
        load_base(BaseRef(name="x", model="sftlab-tests/no-such-model"), device="cpu", precision=Precision())
    assert "\n" not in str(error.value)


def test_chat_model_loads_with_its_template(tmp_path):
    base = _load(write_model(tmp_path / "chat", "llama", chat=True))
    assert "<|im_start|>" in base.tokenizer.chat_template


@pytest.mark.parametrize("name", ["stories260K", "llama2xs_279K", "babyllama_tok361"])
def test_pretrained_models_load_and_predict(name, shared, tmp_path):
    from sftlab.data.example import Example, Turn
    from sftlab.lm.encoding import EncodingRecipe, encode_examples
    from sftlab.lm.token_loss import has_plain_head, padded_batch, token_losses

    base = _load(shared / "weights" / name)
    story = Example((Turn("assistant", "Once upon a time, there was a little girl named Lily."),), 0)
    encoded = encode_examples([story], base, recipe=EncodingRecipe(), folder=tmp_path)
    with torch.inference_mode():
        losses = token_losses(base, padded_batch(encoded, [0], base), plain_head=has_plain_head(base))
    per_byte = float(losses[:-1].sum()) / encoded.response_bytes[0] / 0.693
    assert per_byte < 1.0

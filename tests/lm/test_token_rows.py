"""Special tokens that a study gives a base: their ids, the start of their embeddings, and PEFT's file of them."""

import json
from pathlib import Path

import peft
import pytest
import torch

from sftlab.errors import ModelError
from sftlab.lm.adapters import inject_lora
from sftlab.lm.base import LoadedBase, load_base
from sftlab.lm.encoding import EncodingRecipe, encode_examples
from sftlab.study.declaration import BaseRef, CustomTemplate, Precision
from sftlab.study.methods import Lora
from tests.lm.architectures import architecture_folder
from tests.lm.models import MODELS, examples, write_model

TOKENS = ("<|user|>", "<|bot|>", "<|im_end|>")
MARKED = CustomTemplate(prompt="<|user|>{instruction}<|bot|>", response="{response}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("extended")
    for kind in MODELS:
        write_model(folder / kind, kind)
    return folder


def _load(path: Path, tokens: tuple[str, ...] = TOKENS) -> LoadedBase:
    ref = BaseRef(name="tiny", model=str(path), special_tokens=tokens)
    return load_base(ref, device="cpu", precision=Precision())


def _ids(base: LoadedBase) -> torch.Tensor:
    return torch.tensor([[5, *base.special_ids, 7, 9, base.special_ids[0], 4]])


def _logits(model, ids) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=ids).logits


def _changed_adapter(base: LoadedBase):
    method = Lora(adapter="lora", rank=4, alpha=10.0)
    adapter = inject_lora(base.model, method, seed=1, base_model="tiny", token_ids=base.special_ids)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for _, parameter in adapter.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return adapter


@pytest.mark.parametrize("kind", MODELS)
def test_new_tokens_start_at_the_mean_and_nothing_else_changes(kind, folder):
    plain, base = _load(folder / kind, ()), _load(folder / kind)
    known = len(plain.tokenizer)
    assert base.special_ids == (known, known + 1, plain.tokenizer.convert_tokens_to_ids("<|im_end|>"))
    before = plain.weights()
    grown = set()
    for name, weight in base.weights().items():
        assert torch.equal(weight[: len(before[name])], before[name])
        if len(weight) > len(before[name]):
            grown.add(name)
            assert torch.allclose(weight[known:], before[name][:known].mean(0).expand(2, -1), atol=1e-6)
    tied = base.model.config.tie_word_embeddings
    assert len(grown) == (1 if tied else 2)
    assert base.model.config.vocab_size == known + 2
    again = _load(folder / kind).weights()
    assert all(torch.equal(weight, again[name]) for name, weight in base.weights().items())


def test_rows_that_a_model_has_to_spare_are_used(folder, tmp_path):
    base = _load(folder / "llama", ())
    base.model.resize_token_embeddings(len(base.tokenizer) + 16, mean_resizing=False)
    base.model.save_pretrained(tmp_path)
    base.tokenizer.save_pretrained(tmp_path)
    spare = _load(tmp_path)
    weight = spare.weights()["model.embed_tokens.weight"]
    known = len(base.tokenizer)
    assert len(weight) == known + 16
    assert torch.allclose(weight[known], weight[:known].mean(0), atol=1e-6)


@pytest.mark.parametrize("kind", MODELS)
def test_template_and_arrays_use_them_and_text_of_examples_does_not(kind, folder, tmp_path):
    plain, base = _load(folder / kind, ()), _load(folder / kind)
    made = examples(3)
    recipe = EncodingRecipe(template=MARKED)
    encoded = encode_examples(made, base, recipe=recipe, folder=tmp_path)
    user, bot, _ = base.special_ids
    ids = encoded.ids[encoded.offsets[0] : encoded.offsets[1]].tolist()
    assert ids.count(user) == ids.count(bot) == 1
    assert encoded.digest != encode_examples(made, plain, recipe=recipe, folder=tmp_path).digest
    assert user not in base.base_tokenizer.encode_text("a <|user|> b")


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("merged", [False, True])
def test_peft_reads_trained_rows_with_the_same_logits(kind, merged, folder, tmp_path):
    base = _load(folder / kind)
    ids, untouched = _ids(base), _logits(base.model, _ids(base))
    adapter = _changed_adapter(base)
    adapter.save(tmp_path)
    ours = _logits(base.model, ids)
    assert (ours - untouched)[0, :, base.special_ids[0]].abs().max() > 1e-2
    adapter.unload()
    assert torch.equal(_logits(base.model, ids), untouched)
    theirs = peft.PeftModel.from_pretrained(_load(folder / kind).model, tmp_path)
    if merged:
        theirs = theirs.merge_and_unload()
    assert torch.allclose(_logits(theirs, ids), ours, atol=1e-5)
    base.load_checkpoint(tmp_path)
    assert torch.allclose(_logits(base.model, ids), ours, atol=1e-5)


@pytest.mark.parametrize("architecture", ["Gemma2", "Gemma3", "Phi", "Qwen2"])
def test_scaled_biased_and_capped_models_compute_as_merged_ones(architecture, tmp_path):
    base = _load(architecture_folder(tmp_path, architecture))
    adapter = _changed_adapter(base)
    ids, beside = _ids(base), _logits(base.model, _ids(base))
    adapter.save(tmp_path)
    adapter.merge()
    assert torch.allclose(_logits(base.model, ids), beside, atol=2e-5)
    # PEFT leaves the bias of a head out beside trained rows (Phi), but not when it has merged them.
    theirs = peft.PeftModel.from_pretrained(_load(tmp_path / architecture).model, tmp_path).merge_and_unload()
    assert torch.allclose(_logits(theirs, ids), beside, atol=2e-5)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_ours_reads_what_peft_writes(kind, folder, tmp_path):
    base = _load(folder / kind)
    tokens = list(base.special_ids)
    tied = base.model.config.tie_word_embeddings
    config = peft.LoraConfig(
        r=3,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        init_lora_weights=False,
        trainable_token_indices=tokens if tied else {"embed_tokens": tokens, "lm_head": tokens},
    )
    theirs = peft.get_peft_model(_load(folder / kind).model, config).eval()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "trainable_tokens_delta" in name:
                parameter.add_(0.3)
    theirs.save_pretrained(tmp_path, save_embedding_layers=False)
    base.load_checkpoint(tmp_path)
    assert torch.allclose(_logits(base.model, _ids(base)), _logits(theirs, _ids(base)), atol=1e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_gradients_of_rows_are_those_of_the_whole_matrices(kind, folder):
    base = _load(folder / kind)
    ids = _ids(base)
    weights = base.weights()
    base.model.requires_grad_(True)
    base.model(input_ids=ids, labels=ids).loss.backward()
    whole = {name: weight.grad.clone() for name, weight in weights.items()}
    base.reset()
    adapter = inject_lora(base.model, Lora(adapter="lora"), seed=0, base_model="x", token_ids=base.special_ids)
    base.model(input_ids=ids, labels=ids).loss.backward()
    for name, rows in adapter.token_rows.rows.items():
        assert rows.grad.abs().max() > 0
        assert torch.allclose(rows.grad, whole[f"{name}.weight"][list(base.special_ids)], atol=1e-6), name


def test_rows_for_tokens_that_a_base_lacks_are_refused(folder, tmp_path):
    _changed_adapter(_load(folder / "llama")).save(tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["trainable_token_indices"]
    with pytest.raises(ModelError, match="`special_tokens`"):
        _load(folder / "llama", ()).load_checkpoint(tmp_path)

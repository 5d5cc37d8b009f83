"""Every architecture as a study loads it, against transformers with attention written out, and PEFT."""

import random
from pathlib import Path

import numpy as np
import peft
import pytest
import torch

from sftlab.lm.adapters import inject_lora, linear_modules, load_adapter
from sftlab.lm.encoding import EncodingRecipe, encode_examples
from sftlab.lm.generation import generate_greedy
from sftlab.lm.likelihood import continuation_log_likelihoods
from sftlab.lm.parameters import layer_of, num_layers, part_of
from sftlab.lm.request_tree import Request
from sftlab.lm.token_loss import has_plain_head, padded_batch, token_losses
from sftlab.study.methods import Lora
from tests.lm.architectures import ARCHITECTURES, WINDOW, load_architecture, plain_architecture
from tests.lm.models import WORDS, examples

NEW_TOKENS = 16
SET_APART = [
    ("Mistral", {"sliding_window": None}),
    ("Phi3", {"sliding_window": None}),
    ("Gemma2", {"layer_types": ["full_attention"] * 2}),
    ("Gemma2", {"attn_logit_softcapping": None}),
    ("Gemma2", {"final_logit_softcapping": None}),
    ("Gemma3", {"layer_types": ["full_attention"] * 2}),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return tmp_path_factory.mktemp("architectures")


def _ids(count: int, *, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(6, 30, count).tolist()


def _logits(model, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.tensor([ids])).logits[0]


@pytest.mark.parametrize(("name", "change"), SET_APART, ids=str)
def test_what_sets_an_architecture_apart_bears_on_its_logits(name, change, folder):
    ids = _ids(3 * WINDOW)
    changed = plain_architecture(folder, name, **change)
    assert (_logits(plain_architecture(folder, name), ids) - _logits(changed, ids)).abs().max() > 1e-2


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_token_losses_are_those_of_attention_written_out(name, folder, tmp_path):
    base = load_architecture(folder, name)
    encoded = encode_examples(examples(6), base, recipe=EncodingRecipe(), folder=tmp_path)
    assert encoded.lengths.min() > 2 * WINDOW
    model = plain_architecture(folder, name)
    expected = []
    for start, end in zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True):
        ids = encoded.ids[start:end].astype(np.int64)
        log_probabilities = _logits(model, ids.tolist()).double().log_softmax(-1)
        places = np.flatnonzero(encoded.learned[start:end])
        expected.extend((-log_probabilities[places - 1, ids[places]]).tolist())
    batch = padded_batch(encoded, range(6), base)
    for plain_head in {has_plain_head(base), False}:
        with torch.inference_mode():
            found = token_losses(base, batch, plain_head=plain_head)
        assert found.tolist() == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_head_is_plain_unless_its_logits_are_capped(name, folder):
    assert has_plain_head(load_architecture(folder, name)) == (name != "Gemma2")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_parameter_has_its_layer_and_part(name, folder):
    base = load_architecture(folder, name)
    weights = base.weights()
    assert num_layers(weights) == 2
    assert all(part_of(weight) is not None for weight in weights)
    inside = {(layer_of(weight), part_of(weight)) for weight in weights if layer_of(weight) is not None}
    assert inside == {(layer, part) for layer in (0, 1) for part in ("attention", "mlp", "norm")}
    outside = {part_of(weight) for weight in weights if layer_of(weight) is None}
    tied = base.model.config.tie_word_embeddings
    assert outside == {"embedding", "norm"} | (set() if tied else {"head"})
    assert tied == (name in ("Qwen2", "Qwen3", "Gemma2", "Gemma3", "GPT2"))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_log_likelihoods_are_those_of_transformers(name, folder):
    base = load_architecture(folder, name)
    shared = _ids(3 * WINDOW)
    requests = [
        Request(np.array(shared[:cut] + _ids(length, seed=cut), np.int32), np.array(_ids(1 + cut % 4), np.int32))
        for cut, length in ((24, 5), (24, 9), (20, 3), (0, 30), (24, 2))
    ]
    found = continuation_log_likelihoods(base, requests, max_batch_tokens=100)
    model = plain_architecture(folder, name)
    for request, value, greedy in zip(requests, found.log_likelihood, found.is_greedy, strict=True):
        context, continuation = request.context_ids.tolist(), request.continuation_ids.tolist()
        predicting = _logits(model, context + continuation)[len(context) - 1 : -1].double()
        places = torch.arange(len(continuation))
        assert value == pytest.approx(float(predicting.log_softmax(-1)[places, continuation].sum()), rel=1e-5)
        assert greedy == (predicting.argmax(-1).tolist() == continuation)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_greedy_answers_are_those_of_transformers(name, folder):
    base = load_architecture(folder, name)
    generator = random.Random(0)
    texts = [" ".join(generator.choices(WORDS, k=count)) for count in (1, 7, 3, 5)]
    prompts = [base.base_tokenizer.encode_text(text) for text in texts]
    model = plain_architecture(folder, name)
    expected = []
    for prompt in prompts:
        ids = torch.tensor([prompt])
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=NEW_TOKENS,
            pad_token_id=base.pad_id,
        )
        expected.append(base.tokenizer.decode(out[0, len(prompt) :], skip_special_tokens=True))
    assert generate_greedy(base, prompts, max_new_tokens=NEW_TOKENS, max_batch_tokens=1000) == expected
    assert len(set(expected)) > 1


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_adapter_beside_all_linear_modules_is_one_of_peft(name, folder, tmp_path):
    base = load_architecture(folder, name)
    plain = peft.get_peft_model(
        plain_architecture(folder, name), peft.LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    targets = {
        module.removeprefix("base_model.model.").removesuffix(".lora_A.default")
        for module, _ in plain.named_modules()
        if module.endswith(".lora_A.default")
    }
    assert set(linear_modules(base.model)) == targets
    adapter = inject_lora(base.model, Lora(adapter="lora", rank=3, alpha=7.0), seed=1, base_model=name)
    with torch.no_grad():
        for layer in adapter.layers.values():
            layer.b.normal_(std=0.3)
    adapter.save(tmp_path)
    ids = _ids(3 * WINDOW)
    ours = _logits(base.model, ids)
    theirs = peft.PeftModel.from_pretrained(plain_architecture(folder, name), tmp_path)
    unmerged = _logits(theirs, ids)
    assert (ours - _logits(plain_architecture(folder, name), ids)).abs().max() > 1e-2
    assert torch.allclose(ours, unmerged, atol=1e-5)
    assert torch.allclose(ours, _logits(theirs.merge_and_unload(), ids), atol=1e-5)
    adapter.merge()
    assert torch.allclose(_logits(base.model, ids), unmerged, atol=1e-5)
    base.reset()
    load_adapter(base.model, tmp_path).attach()
    assert torch.allclose(_logits(base.model, ids), unmerged, atol=1e-5)

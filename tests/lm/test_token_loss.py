"""Token losses against plain transformers logits, however examples are batched."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sftlab.lm import token_loss
from sftlab.lm.encoding import EncodingRecipe, encode_examples
from sftlab.lm.kernel import Kernel
from sftlab.lm.packed_attention import PACKED
from sftlab.lm.product_attention import PRODUCTS
from sftlab.lm.token_loss import has_plain_head, packed_batch, padded_batch, token_losses
from tests.lm.models import MODELS, examples, load


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("losses")


def _reference(base, encoded) -> np.ndarray:
    losses = []
    for start, end in zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True):
        ids = torch.tensor(encoded.ids[start:end].astype(np.int64))[None]
        with torch.inference_mode():
            log_probabilities = base.model(input_ids=ids).logits[0].log_softmax(-1)
        losses.extend(
            -float(log_probabilities[place - 1, ids[0, place]])
            for place in range(1, end - start)
            if encoded.learned[start + place]
        )
    return np.array(losses)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("plain_head", [True, False])
def test_losses_are_those_of_transformers_row_by_row(kind, plain_head, folder, tmp_path):
    base = load(folder, kind)
    encoded = encode_examples(examples(12), base, recipe=EncodingRecipe(), folder=tmp_path)
    batch = padded_batch(encoded, list(range(12)), base)
    with torch.inference_mode():
        losses = token_losses(base, batch, plain_head=plain_head)
    assert np.allclose(losses.numpy(), _reference(base, encoded), atol=2e-5)
    assert batch.labels.tolist() == encoded.ids[encoded.learned].tolist()


@pytest.mark.parametrize("kind", MODELS)
def test_padding_has_no_influence(kind, folder, tmp_path):
    base = load(folder, kind)
    encoded = encode_examples(examples(6), base, recipe=EncodingRecipe(), folder=tmp_path)
    with torch.inference_mode():
        one = token_losses(base, padded_batch(encoded, list(range(6)), base), plain_head=True)
        base.pad_id = 7
        other = token_losses(base, padded_batch(encoded, list(range(6)), base), plain_head=True)
    assert torch.equal(one, other)


@pytest.mark.parametrize("kind", MODELS)
def test_head_of_the_usual_models_is_plain(kind, folder):
    assert has_plain_head(load(folder, kind))


def test_soft_capped_head_is_not_plain(folder):
    from transformers import Gemma2Config, Gemma2ForCausalLM

    base = load(folder, "llama")
    config = Gemma2Config(
        vocab_size=99,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=48,
        head_dim=16,
    )
    torch.manual_seed(0)
    base.model = Gemma2ForCausalLM(config).eval()
    assert not has_plain_head(base)


def test_scaled_head_is_not_plain(folder):
    from transformers import CohereConfig, CohereForCausalLM

    base = load(folder, "llama")
    config = CohereConfig(
        vocab_size=99,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=48,
        logit_scale=0.5,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    base.model = CohereForCausalLM(config).eval()
    assert not has_plain_head(base)


def test_chunks_of_logits_give_the_same_losses_and_gradients(folder, tmp_path, monkeypatch):
    base = load(folder, "llama")
    encoded = encode_examples(examples(6), base, recipe=EncodingRecipe(), folder=tmp_path)
    batch = padded_batch(encoded, list(range(6)), base)

    def found() -> tuple[torch.Tensor, torch.Tensor]:
        base.model.requires_grad_(True)
        base.model.zero_grad()
        losses = token_losses(base, batch, plain_head=True)
        losses.sum().backward()
        return losses.detach(), base.model.lm_head.weight.grad.clone()

    whole = found()
    monkeypatch.setattr(token_loss, "CHUNK_LOGITS", 5 * base.model.config.vocab_size)
    for one, other in zip(whole, found(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("attention", [PRODUCTS, PACKED])
def test_every_kernel_gives_the_same_losses_and_gradients(kind, attention, folder, tmp_path):
    base = load(folder, kind)
    encoded = encode_examples(examples(9), base, recipe=EncodingRecipe(), folder=tmp_path)
    base.model.requires_grad_(True)

    def found(kernel: Kernel, batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        base.model.zero_grad()
        with kernel.attending(base.model):
            losses = token_losses(base, batch, plain_head=True)
            losses.sum().backward()
        return losses.detach(), {name: weight.grad.clone() for name, weight in base.weights().items()}

    losses, gradients = found(Kernel(), padded_batch(encoded, range(9), base))
    layout = packed_batch if attention == PACKED else padded_batch
    others, other_gradients = found(Kernel(attention), layout(encoded, range(9), base))
    assert torch.allclose(losses, others, atol=1e-5)
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, other_gradients[name], atol=1e-5 * float(gradient.abs().max()) + 1e-7)


def test_kernel_leaves_the_attention_of_the_model_as_it_was(folder):
    base = load(folder, "llama")
    before = base.model.config._attn_implementation
    with Kernel(PRODUCTS).attending(base.model):
        assert base.model.config._attn_implementation == PRODUCTS
    assert base.model.config._attn_implementation == before

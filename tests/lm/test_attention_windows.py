"""Which models tell their attention how far to look, and that it matters where one does not."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from sftlab.lm.attention_windows import tells_windows
from sftlab.lm.base import LoadedBase
from sftlab.lm.kernel import Kernel
from sftlab.lm.product_attention import PRODUCTS
from sftlab.lm.token_loss import synthetic_batch, token_losses
from sftlab.study.declaration import BaseRef, Precision
from tests.lm.architectures import ARCHITECTURES, plain_architecture
from tests.lm.models import load

WINDOW = 60
SIZES = {
    "vocab_size": 45, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 256, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


def _phi_moe() -> torch.nn.Module:
    config = transformers.PhimoeConfig(**SIZES, sliding_window=WINDOW, num_local_experts=2)
    return transformers.PhimoeForCausalLM(config)


def _llama4() -> torch.nn.Module:
    sizes = {"attention_chunk_size": WINDOW, "intermediate_size_mlp": 48, "no_rope_layers": [1, 0], "head_dim": 8}
    config = transformers.Llama4TextConfig(**SIZES, **sizes, num_local_experts=2, num_experts_per_tok=1)
    return transformers.Llama4ForCausalLM(config)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return tmp_path_factory.mktemp("architectures")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_usual_models_tell_every_window(name, folder):
    model = plain_architecture(folder, name)
    before = model.config._attn_implementation
    assert tells_windows(model)
    assert model.config._attn_implementation == before


def test_model_with_attention_of_its_own_has_nothing_to_tell():
    assert tells_windows(
        transformers.BloomForCausalLM(transformers.BloomConfig(vocab_size=45, hidden_size=32, n_head=4))
    )


@pytest.mark.parametrize("make", [_phi_moe, _llama4])
def test_model_that_leaves_its_window_to_the_mask_is_found(make, folder):
    torch.manual_seed(0)
    model = make().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(5 if weight.dim() > 1 else 1)
    tokenizer = load(folder, "neox").base_tokenizer
    base = LoadedBase(BaseRef(name="windows", model="windows"), model, tokenizer, device="cpu", precision=Precision())

    def difference(length: int) -> float:
        losses = []
        for kernel in (Kernel(), Kernel(PRODUCTS)):
            with torch.inference_mode(), kernel.attending(model):
                batch = synthetic_batch(base, np.array([length]), packed=False)
                losses.append(token_losses(base, batch, plain_head=False))
        return float((losses[0] - losses[1]).abs().max())

    assert difference(WINDOW) < 1e-5
    assert difference(2 * WINDOW) > 1e-2
    assert not tells_windows(model)

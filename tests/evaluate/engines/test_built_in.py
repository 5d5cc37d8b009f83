"""How many tokens the built-in engine reads in a pass on a CPU."""

import pytest
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from sftlab.evaluate.engines.built_in import cached_tokens
from sftlab.lm.base import LoadedBase
from sftlab.study.declaration import BaseRef, Precision
from tests.lm.models import load

SIZES = {"vocab_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        (lambda: LlamaForCausalLM(LlamaConfig(**SIZES, hidden_size=32, intermediate_size=64)), 8192),
        (lambda: LlamaForCausalLM(LlamaConfig(**SIZES, hidden_size=32, intermediate_size=704)), 2**21 // 704),
        (lambda: LlamaForCausalLM(LlamaConfig(**SIZES, hidden_size=32, intermediate_size=4096)), 2048),
        (lambda: GPT2LMHeadModel(GPT2Config(vocab_size=64, n_layer=1, n_head=2, n_embd=128)), 2**21 // 512),
    ],
)
def test_widest_activations_of_a_pass_stay_in_the_cache(model, tokens, tmp_path):
    tokenizer = load(tmp_path, "llama").base_tokenizer
    base = LoadedBase(BaseRef(name="x", model="x"), model(), tokenizer, device="cpu", precision=Precision())
    assert cached_tokens(base, 8192) == tokens
    assert cached_tokens(base, 600) == 600

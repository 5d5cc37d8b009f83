"""Layers and parts from real models' parameter names."""

import pytest
import transformers

from sftlab.lm.parameters import depth_of, layer_of, num_layers, part_of
from tests.lm.models import MODELS, tiny_model

SIZES = {
    "vocab_size": 64,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_key_value_heads": 1,
}


def _models():
    for kind in MODELS:
        yield kind, tiny_model(kind, vocabulary=50)
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    for name in ("Mistral", "Qwen2", "Qwen3", "Olmo2", "Gemma", "Phi3", "Mixtral", "Phi"):
        config = getattr(transformers, f"{name}Config")(**SIZES, **special)
        yield name, getattr(transformers, f"{name}ForCausalLM")(config)
    yield (
        "gptj",
        transformers.GPTJForCausalLM(
            transformers.GPTJConfig(vocab_size=64, n_embd=16, n_layer=2, n_head=2, rotary_dim=4)
        ),
    )
    yield (
        "opt",
        transformers.OPTForCausalLM(
            transformers.OPTConfig(
                vocab_size=64,
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                ffn_dim=32,
                word_embed_proj_dim=16,
            )
        ),
    )
    yield (
        "bloom",
        transformers.BloomForCausalLM(transformers.BloomConfig(vocab_size=64, hidden_size=16, n_layer=2, n_head=2)),
    )


@pytest.mark.parametrize("model", [pytest.param(model, id=kind) for kind, model in _models()])
def test_every_parameter_has_a_part(model):
    names = [name for name, _ in model.named_parameters()]
    assert num_layers(names) == model.config.num_hidden_layers
    parts = {}
    for name in names:
        part = part_of(name)
        assert part is not None, name
        parts.setdefault((layer_of(name) is None, part), []).append(name)
    assert set(parts) >= {(False, "attention"), (False, "mlp"), (False, "norm"), (True, "embedding"), (True, "norm")}
    assert all("norm" in name or "ln" in name for name in parts[False, "norm"])
    tied = model.config.tie_word_embeddings
    assert tied or (True, "head") in parts


def test_depth_runs_from_zero_to_one():
    assert [depth_of(layer, 5) for layer in (0, 2, 4)] == [0.0, 0.5, 1.0]
    assert depth_of(0, 1) == 0.0

"""The architectures that people fine-tune, each as a tiny model with everything switched on that sets it apart."""

from pathlib import Path
from typing import Any

import torch
import transformers

from sftlab.lm.base import LoadedBase, load_base
from sftlab.study.declaration import BaseRef, Precision
from tests.lm.models import character_tokenizer

WINDOW = 8
"""Positions that a sliding window shows, the token's own included."""

_SIZES: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 256,
}  # fmt: skip
_ALTERNATING = {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
_TIED = {"tie_word_embeddings": True}
_UNTIED = {"tie_word_embeddings": False}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "Llama": {**_SIZES, **_UNTIED},
    "Mistral": {**_SIZES, **_UNTIED, "sliding_window": WINDOW, "head_dim": 8},
    "Qwen2": {**_SIZES, **_TIED},
    "Qwen3": {**_SIZES, **_TIED, "head_dim": 16},
    "Gemma2": {
        **_SIZES, **_ALTERNATING, "head_dim": 8, "query_pre_attn_scalar": 8,
        "attn_logit_softcapping": 0.5, "final_logit_softcapping": 2.0,
    },
    "Gemma3": {**_SIZES, **_ALTERNATING, "head_dim": 8, "query_pre_attn_scalar": 8},
    "Olmo2": {**_SIZES, **_UNTIED},
    "GPTNeoX": {name: size for name, size in _SIZES.items() if name != "num_key_value_heads"},
    "GPT2": {
        "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256,
        "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0,
    },
    "Phi": {**_SIZES, **_UNTIED},
    "Phi3": {**_SIZES, **_UNTIED, "sliding_window": WINDOW},
}  # fmt: skip
_CLASSES = {"Gemma3": ("Gemma3TextConfig", "Gemma3ForCausalLM"), "GPT2": ("GPT2Config", "GPT2LMHeadModel")}


def make_architecture(name: str, *, vocabulary: int, **special: int | None) -> torch.nn.Module:
    """A model of this architecture that looks sharply at some tokens, and whose biases and norms are not trivial."""
    config_class, model_class = _CLASSES.get(name, (f"{name}Config", f"{name}ForCausalLM"))
    config = getattr(transformers, config_class)(**ARCHITECTURES[name], vocab_size=vocabulary, **special)
    torch.manual_seed(0)
    model = getattr(transformers, model_class)(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(5.0)
            else:
                weight.add_(0.1 * torch.randn_like(weight))
    return model


def architecture_folder(folder: Path, name: str) -> Path:
    """The model's folder, with a character tokenizer; written where it is not there yet."""
    target = folder / name
    if not target.is_dir():
        tokenizer = character_tokenizer()
        special = {f"{token}_token_id": getattr(tokenizer, f"{token}_token_id") for token in ("bos", "eos", "pad")}
        make_architecture(name, vocabulary=len(tokenizer), **special).save_pretrained(target)
        tokenizer.save_pretrained(target)
    return target


def load_architecture(folder: Path, name: str) -> LoadedBase:
    """The model as a study loads it."""
    path = architecture_folder(folder, name)
    return load_base(BaseRef(name=name, model=str(path)), device="cpu", precision=Precision())


def plain_architecture(folder: Path, name: str, **config: Any) -> torch.nn.Module:
    """The model as transformers alone loads it, with attention written out, and the configuration changed if asked."""
    path = architecture_folder(folder, name)
    options = {"dtype": torch.float32, "attn_implementation": "eager"}
    return transformers.AutoModelForCausalLM.from_pretrained(path, **options, **config).eval()

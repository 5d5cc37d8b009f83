"""What a parameter is, read from its name: its layer, and the part of the model it belongs to.

Covers the names of Llama, Mistral, Qwen, Gemma, Phi, OLMo, GPT-2, GPT-J, GPT-NeoX, OPT, Falcon, BLOOM and MPT.
"""

import re
from collections.abc import Iterable
from typing import Literal

Part = Literal["attention", "mlp", "norm", "embedding", "head"]

_LAYER = re.compile(r"(?:^|\.)(?:layers|layer|h|blocks|block)\.(\d+)\.(.+)$")
_IN_LAYER: tuple[tuple[Part, re.Pattern[str]], ...] = (
    ("norm", re.compile(r"norm|(?:^|\.)ln_?\w*\.")),
    ("attention", re.compile(r"attn|attention")),
    ("mlp", re.compile(r"mlp|feed_forward|ffn|moe|expert|(?:^|\.)fc\d")),
)
_OUTSIDE: tuple[tuple[Part, re.Pattern[str]], ...] = (
    ("norm", re.compile(r"norm|(?:^|\.)ln_\w+\.")),
    ("head", re.compile(r"lm_head|embed_out|(?:^|\.)output\.")),
    ("embedding", re.compile(r"embed|(?:^|\.)w[tp]e\.")),
)


def layer_of(name: str) -> int | None:
    """Index of the layer that a parameter (or module inside a layer) is in; None for what is in no layer."""
    found = _LAYER.search(name)
    return int(found.group(1)) if found else None


def part_of(name: str) -> Part | None:
    """The part of the model a parameter belongs to, or None where its name does not tell."""
    found = _LAYER.search(name)
    rules, rest = (_OUTSIDE, name) if found is None else (_IN_LAYER, found.group(2))
    return next((part for part, pattern in rules if pattern.search(rest)), None)


def num_layers(names: Iterable[str]) -> int:
    """Layers among the parameters of one model."""
    return 1 + max((layer for layer in map(layer_of, names) if layer is not None), default=-1)


def depth_of(layer: int, layers: int) -> float:
    """Layer index / (layers - 1): 0 for the first layer, 1 for the last; 0 in a model of one layer."""
    return layer / (layers - 1) if layers > 1 else 0.0

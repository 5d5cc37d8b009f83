"""What a model draws at random while it is trained: dropout, and noise in the choice of experts.

It is read from the configuration as well as from the modules: some architectures (OPT, BLOOM, Falcon, BioGPT) drop
activations by a function, which no module shows.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

_OTHER_HEADS = ("classifier", "summary")


def draws_at_random(model: Any) -> bool:  # noqa: ANN401 - any transformers model
    """Whether two training passes over the same tokens may differ."""
    if any(isinstance(module, nn.Dropout) and module.p > 0 for module in model.modules()):
        return True
    return any("drop" in name or "jitter" in name for name in _positive(model.config.to_dict()))


def drops_attention(model: Any) -> bool:  # noqa: ANN401 - any transformers model
    """Whether attention weights are dropped in training, which kernels of our own do not do."""
    names = _positive(model.config.to_dict())
    return any("drop" in name and ("attn" in name or "attention" in name) for name in names)


def _positive(config: Mapping[str, Any]) -> Iterator[str]:
    """Names of all numbers above zero, those of nested configurations included and those of other heads not."""
    for name, value in config.items():
        if name.startswith(_OTHER_HEADS):
            continue
        if isinstance(value, Mapping):
            yield from _positive({str(inner): each for inner, each in value.items()})
        elif isinstance(value, int | float) and value > 0:
            yield name

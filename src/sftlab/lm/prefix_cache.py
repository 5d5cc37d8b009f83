"""Keys and values of a prefix, computed once and lent to any number of rows."""

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer


class _LentLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer's keys and values of the prefix; what the rows add is used and forgotten."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self.keys, self.values = self._lent = keys, values

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        rows = key_states.shape[0]
        keys, values = (known.expand(rows, -1, -1, -1) for known in self._lent)
        return torch.cat([keys, key_states], dim=-2), torch.cat([values, value_states], dim=-2)


def lent_cache(cache: object) -> Cache | None:
    """A cache (of one row) as one that is the same for every row and never grows.

    None where the model keeps anything else than the keys and values of all positions, as with sliding windows or
    recurrent states.
    """
    if not isinstance(cache, DynamicCache):
        return None
    layers: list[Any] = list(cache.layers)
    if any(type(layer) is not DynamicLayer for layer in layers):
        return None
    return Cache(layers=[_LentLayer(layer.keys, layer.values) for layer in layers])

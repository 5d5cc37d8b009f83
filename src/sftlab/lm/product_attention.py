"""Causal attention by plain matrix products, for rows padded on the right.

On a CPU this beats PyTorch's fused attention for short rows, in bfloat16 several times over. Transformers finds it by
the name `PRODUCTS`, under which it makes no mask.

Legend: B = rows, H = heads, G = heads of keys and values, T = positions, D = width of a head.
"""

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

PRODUCTS = "sftlab_products"


def _bias(length: int, window: int | None, dtype: torch.dtype, device: torch.device) -> Tensor:
    """T x T: 0 where a position is seen, -inf where it lies ahead or, with a window, too far back."""
    seen = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    if window is not None:
        seen = seen.triu(1 - window)
    return torch.zeros(length, length, dtype=dtype, device=device).masked_fill(~seen, float("-inf"))


@lru_cache(maxsize=64)
def _kept_bias(length: int, window: int | None, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(mode=False):
        return _bias(length, window, dtype, device)


def causal_products(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scaling: float,
    window: int | None = None,
    softcap: float | None = None,
) -> Tensor:
    """Attention of every position to itself and those before it: (B, H, T, D) from queries of that shape.

    `key` and `value` are (B, G, T, D), G a divisor of H. `window` counts the positions that are seen, one's own
    included; `softcap` bounds the scores as in Gemma 2. The softmax is taken in float32.
    """
    rows, heads, length, width = query.shape
    groups = key.shape[1]
    if groups != heads:
        key, value = (part.repeat_interleave(heads // groups, dim=1) for part in (key, value))
    q, k = query.reshape(rows * heads, length, width), key.reshape(rows * heads, length, width)
    # A compiler makes the bias where it is added, and can trace no cache.
    make_bias = _bias if torch.compiler.is_compiling() else _kept_bias
    bias = make_bias(length, window, query.dtype, query.device)
    if softcap is None:
        scores = torch.baddbmm(bias.expand(rows * heads, -1, -1), q, k.transpose(1, 2), alpha=scaling)
    else:
        scores = softcap * torch.tanh(torch.bmm(q, k.transpose(1, 2)) * (scaling / softcap)) + bias
    weights = functional.softmax(scores, dim=-1, dtype=torch.float32).to(value.dtype)
    mixed = torch.bmm(weights, value.reshape(rows * heads, length, -1))
    return mixed.view(rows, heads, length, -1)


def product_attention(  # noqa: PLR0913 - the interface of transformers
    module: nn.Module,  # noqa: ARG001 - the interface
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """`causal_products` as transformers calls it: the result is (B, T, H, D), and no weights are kept."""
    assert attention_mask is None, "padding on the right needs no mask"
    assert dropout == 0.0, "dropout of attention weights is left to the attention of transformers"
    assert query.shape[2] == key.shape[2], "no keys of earlier passes"
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    mixed = causal_products(query, key, value, scaling=scale, window=sliding_window, softcap=softcap)
    return mixed.transpose(1, 2), None

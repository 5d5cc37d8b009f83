"""Attention over examples that lie one behind another in a single row, none of which sees another.

Nothing is padded but, where there is no kernel for variable lengths, inside the attention itself. Transformers finds it
by the name `PACKED`; it is told where examples begin by the same arguments as flash attention is.

Legend: N = tokens of the row, E = examples, L = the longest of them, H = heads, G = heads of keys and values, D = width
of a head.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sftlab.lm.product_attention import causal_products

PACKED = "sftlab_packed"


@dataclass(frozen=True, eq=False)
class Boundaries:
    """Where examples begin in a row: `starts` holds E + 1 positions (int32), the last of them N."""

    starts: Tensor
    longest: int

    @property
    def arguments(self) -> dict[str, object]:
        """What the model is called with beside token ids and positions."""
        return {
            "cu_seq_lens_q": self.starts,
            "cu_seq_lens_k": self.starts,
            "max_length_q": self.longest,
            "max_length_k": self.longest,
        }


def boundaries(lengths: NDArray[np.int64], device: torch.device) -> Boundaries:
    """Of examples of these lengths, in this order."""
    starts = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    return Boundaries(torch.from_numpy(starts).to(device, non_blocking=True), int(lengths.max()))


def packed_attention(  # noqa: PLR0913 - the interface of transformers
    module: nn.Module,  # noqa: ARG001 - the interface
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    cu_seq_lens_q: Tensor,
    max_length_q: int,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Causal attention inside each example: (1, N, H, D) from queries (1, H, N, D), keys and values (1, G, N, D)."""
    assert attention_mask is None, "boundaries take the place of a mask"
    assert dropout == 0.0, "dropout of attention weights is left to the attention of transformers"
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if _has_kernel(query, value, softcap):
        return _variable_length(query, key, value, (cu_seq_lens_q, max_length_q), scale, sliding_window), None
    gather, valid = _places(cu_seq_lens_q, max_length_q)
    rows, length = gather.shape

    def blocks(part: Tensor) -> Tensor:
        return part[0].index_select(1, gather.flatten()).view(part.shape[1], rows, length, -1).transpose(0, 1)

    mixed = causal_products(
        blocks(query), blocks(key), blocks(value), scaling=scale, window=sliding_window, softcap=softcap
    )
    return mixed.transpose(1, 2).flatten(0, 1)[valid.flatten()].unsqueeze(0), None


def _places(starts: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """Position in the row of each place of an E x L block, and whether there is a token (elsewhere any position)."""
    first, end = starts[:-1, None].long(), starts[1:, None].long()
    place = first + torch.arange(longest, device=starts.device)
    return torch.minimum(place, end - 1), place < end


def _has_kernel(query: Tensor, value: Tensor, softcap: float | None) -> bool:
    half = query.dtype in (torch.bfloat16, torch.float16)
    return query.is_cuda and half and softcap is None and query.shape[-1] == value.shape[-1] <= 256


def _variable_length(
    query: Tensor, key: Tensor, value: Tensor, spans: tuple[Tensor, int], scaling: float, window: int | None
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    starts, longest = spans
    q, k, v = (part[0].transpose(0, 1).contiguous() for part in (query, key, value))
    reach = (-1 if window is None else window - 1, 0)
    grouped = query.shape[1] != key.shape[1]
    mixed = varlen_attn(q, k, v, starts, starts, longest, longest, scale=scaling, window_size=reach, enable_gqa=grouped)
    assert isinstance(mixed, Tensor)
    return mixed.unsqueeze(0)

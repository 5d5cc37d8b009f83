"""Attention over rows that lie one behind another in a single sequence, all of them after one shared prefix.

Nothing is padded, the prefix is there once, and branches of a row do not see each other. Transformers finds it by the
name `TREE`; the model is called with `tree`, the layout of the rows.

Legend: N = tokens of all rows, P = tokens of the prefix, S = tokens of a row, H = heads, G = heads of keys and values,
R = H / G, D = width of a head.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

TREE = "sftlab_tree"


class TreeLayout:
    """Where rows lie in the sequence, and which tokens see each other.

    A row is its tokens' positions in the text and its S x S table of who sees whom (row sees column). The prefix is at
    positions 0 to P - 1 and is seen by all.
    """

    def __init__(self, rows: list[tuple[NDArray[np.int64], NDArray[np.bool_]]], *, num_prefix: int) -> None:
        self.num_prefix = num_prefix
        self._rows = rows
        self._biases: dict[tuple[object, ...], list[Tensor]] = {}
        ends = np.cumsum([len(positions) for positions, _ in rows]).tolist()
        self.spans = list(zip([0, *ends[:-1]], ends, strict=True))
        self._narrow: tuple[nn.Module, list[Tensor]] | None = None

    def narrow(self, attention: nn.Module, places: Tensor) -> None:
        """Let this module attend from these tokens of the sequence alone (in ascending order); others get anything."""
        ends = torch.tensor([end for _, end in self.spans], device=places.device)
        parted = torch.tensor_split(places, torch.searchsorted(places, ends)[:-1].cpu())
        self._narrow = attention, [part - start for part, (start, _) in zip(parted, self.spans, strict=True)]

    def asking(self, attention: nn.Module) -> Sequence[Tensor | None]:
        """For every row the tokens that this module attends from; None for all."""
        if self._narrow is None or self._narrow[0] is not attention:
            return [None] * len(self.spans)
        return self._narrow[1]

    def biases(self, like: Tensor, window: int | None) -> list[Tensor]:
        """For every row S x (P + S): 0 where a token is seen, else -inf; a `window` counts one's own position, too."""
        key = (window, like.dtype, like.device)
        if key not in self._biases:
            self._biases[key] = [self._bias(positions, seen, window, like) for positions, seen in self._rows]
        return self._biases[key]

    def _bias(self, positions: NDArray[np.int64], seen: NDArray[np.bool_], window: int | None, like: Tensor) -> Tensor:
        whole = np.concatenate([np.ones((len(positions), self.num_prefix), dtype=np.bool_), seen], axis=1)
        if window is not None:
            place = np.concatenate([np.arange(self.num_prefix), positions])
            whole &= positions[:, None] - place[None, :] < window
        hidden = torch.from_numpy(~whole).to(like.device)
        bias = torch.zeros(whole.shape, dtype=like.dtype, device=like.device)
        return bias.masked_fill_(hidden, float("-inf"))


def tree_attention(  # noqa: PLR0913 - the interface of transformers
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    tree: TreeLayout,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Attention of every row: (1, N, H, D) from queries (1, H, N, D), keys and values (1, G, P + N, D)."""
    assert attention_mask is None, "the layout takes the place of a mask"
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    heads, groups, num_prefix = query.shape[1], key.shape[1], tree.num_prefix
    repeats = heads // groups
    mixed = value.new_empty(1, query.shape[2], heads, value.shape[-1])
    rows = zip(tree.spans, tree.biases(query, sliding_window), tree.asking(module), strict=True)
    for (start, end), whole_bias, asking in rows:
        q, bias = query[0, :, start:end], whole_bias
        if asking is not None:
            q, bias = q.index_select(1, asking), bias.index_select(0, asking)
        length = q.shape[1]
        k, v = (_seen(part[0], num_prefix, start, end) for part in (key, value))
        q = q.reshape(groups, repeats * length, -1)
        mask = bias if repeats == 1 else bias.repeat(repeats, 1)
        if softcap is None:
            scores = torch.baddbmm(mask.expand(groups, -1, -1), q, k.transpose(1, 2), alpha=scale)
        else:
            scores = softcap * torch.tanh(torch.bmm(q, k.transpose(1, 2)) * (scale / softcap)) + mask
        weights = functional.softmax(scores, dim=-1, dtype=torch.float32).to(v.dtype)
        row = torch.bmm(weights, v).view(heads, length, -1).transpose(0, 1)
        if asking is None:
            mixed[0, start:end] = row
        else:
            mixed[0, start + asking] = row.to(mixed.dtype)
    return mixed, None


def _seen(part: Tensor, num_prefix: int, start: int, end: int) -> Tensor:
    """G x (P + S) x D: the prefix and one row."""
    own = part[:, num_prefix + start : num_prefix + end]
    return own if num_prefix == 0 else torch.cat([part[:, :num_prefix], own], dim=1)


@contextmanager
def attending_as_tree(model: Any) -> Iterator[None]:  # noqa: ANN401 - any transformers model
    """The model attends by `tree_attention` for as long as the context lasts."""
    from transformers import AttentionInterface

    AttentionInterface.register(TREE, tree_attention)
    before = model.config._attn_implementation
    model.set_attn_implementation(TREE)
    try:
        yield
    finally:
        model.set_attn_implementation(before)

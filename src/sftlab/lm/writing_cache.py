"""Keys and values of rows that are being written: some leave, others take their places, none waits for another.

Legend: B = rows, C = columns of the buffers, G = heads of keys and values, D = width of a head, P = tokens of a prefix.
All rows end in the same column; a row of L tokens lies in the last L of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

HEADROOM = 64
"""Columns beyond the last token: how many are written before the buffers are made anew."""


class _OpenLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer's buffers (B x G x C x D), of which the first `end` columns are in use."""

    def __init__(self, keys: Tensor, values: Tensor, end: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values
        self.end = end

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        assert self.keys is not None
        assert self.values is not None
        start, self.end = self.end, self.end + key_states.shape[-2]
        self.keys[:, :, start : self.end] = key_states
        self.values[:, :, start : self.end] = value_states
        return self.keys[:, :, : self.end], self.values[:, :, : self.end]

    def get_seq_length(self) -> int:
        return self.end


@dataclass(frozen=True, eq=False)
class Computed:
    """Keys and values of new rows one behind another after a prefix, layer by layer (1 x G x (P + N) x D).

    `spans` are where rows begin and end among the N tokens.
    """

    layers: Sequence[tuple[Tensor, Tensor]]
    spans: Sequence[tuple[int, int]]
    num_prefix: int

    @property
    def lengths(self) -> list[int]:
        """Tokens of every row, those of the prefix among them."""
        return [self.num_prefix + end - start for start, end in self.spans]


class WritingCache:
    """What B rows have behind them; empty at first."""

    def __init__(self, device: torch.device) -> None:
        self.lengths: list[int] = []
        self.device = device
        self._layers: list[_OpenLayer] = []
        self._mask_BC = torch.zeros(0, 0, dtype=torch.long, device=device)

    @property
    def end(self) -> int:
        """Columns in use."""
        return self._layers[0].end if self._layers else 0

    @property
    def is_full(self) -> bool:
        """Whether no column is left for another token."""
        return self.end == self._mask_BC.shape[1]

    def inputs(self) -> dict[str, Any]:
        """What the model is called with, beside one token id a row, which it then adds."""
        positions = torch.tensor(self.lengths, device=self.device)[:, None]
        self.lengths = [length + 1 for length in self.lengths]
        mask_BC = self._mask_BC[:, : self.end + 1]
        return {"attention_mask": mask_BC, "position_ids": positions, "past_key_values": Cache(layers=[*self._layers])}

    def rebuild(self, kept: Sequence[int], joining: Sequence[Computed]) -> None:
        """Keep these rows, in this order, and put new ones behind them."""
        kept_lengths = [self.lengths[place] for place in kept]
        lengths = kept_lengths + [length for new in joining for length in new.lengths]
        width = max(lengths, default=0)
        size = (len(lengths), width + HEADROOM)
        sources = list(self._layers) if self._layers else [None] * len(joining[0].layers)
        layers = []
        for number, source in enumerate(sources):
            pair = []
            for part in (0, 1):
                old = None if source is None else (source.keys, source.values)[part]
                news = [(new, new.layers[number][part]) for new in joining]
                pair.append(self._filled(old, kept, kept_lengths, news, size))
            layers.append(_OpenLayer(pair[0], pair[1], width))
        self._mask_BC = torch.ones(size, dtype=torch.long, device=self.device)
        for row, length in enumerate(lengths):
            self._mask_BC[row, : width - length] = 0
        self._layers, self.lengths = layers, lengths

    def _filled(
        self,
        old: Tensor | None,
        kept: Sequence[int],
        kept_lengths: Sequence[int],
        news: Sequence[tuple[Computed, Tensor]],
        size: tuple[int, int],
    ) -> Tensor:
        like = news[0][1] if old is None else old
        end = size[1] - HEADROOM
        filled = like.new_zeros(size[0], like.shape[1], size[1], like.shape[3])
        if kept and old is not None:
            reach = max(kept_lengths)
            rows = torch.tensor(list(kept), device=old.device)
            filled[: len(kept), :, end - reach : end] = old[:, :, self.end - reach : self.end].index_select(0, rows)
        row = len(kept)
        for new, computed in news:
            for start, stop in new.spans:
                own = stop - start
                filled[row, :, end - own : end] = computed[0, :, new.num_prefix + start : new.num_prefix + stop]
                filled[row, :, end - own - new.num_prefix : end - own] = computed[0, :, : new.num_prefix]
                row += 1
        return filled


def grown_from(prefix: Cache | None) -> DynamicCache:
    """A cache that begins with the keys and values of a prefix, and keeps all that comes after."""
    cache = DynamicCache()
    lent: Any
    for lent in () if prefix is None else prefix.layers:
        layer: Any = DynamicLayer()  # type: ignore[no-untyped-call]
        layer.lazy_initialization(lent.keys, lent.values)
        layer.keys, layer.values = lent.keys, lent.values
        cache.layers.append(layer)
    return cache

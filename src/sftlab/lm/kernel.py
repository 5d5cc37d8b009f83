"""How examples are laid out in training passes, and how attention is computed there: provenance, never a result."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftlab.lm.packed_attention import PACKED, packed_attention
from sftlab.lm.product_attention import PRODUCTS, product_attention


@dataclass(frozen=True)
class Kernel:
    """A layout and an attention that give the same losses as any other, at a cost of their own.

    `attention` is a name that transformers knows, None for the one the model was loaded with. `pass_tokens` is what a
    pass costs beside its tokens, in tokens: it decides how finely examples of different lengths are parted. With
    `compiled` the layers are compiled while gradients are computed.
    """

    attention: str | None = None
    pass_tokens: int = 256
    compiled: bool = False

    @property
    def packed(self) -> bool:
        """Whether examples lie one behind another in a single row, with no padding."""
        return self.attention == PACKED

    @property
    def about(self) -> str:
        """The kernel in words."""
        layers = ", layers compiled" if self.compiled else ""
        return f"{self.attention or 'attention of the model'}, a pass costs {self.pass_tokens} tokens{layers}"

    def groups(self, lengths: NDArray[np.int64], max_tokens: int) -> list[NDArray[np.int64]]:
        """Places of the examples of each pass, longest first; a pass holds `max_tokens` at most, or one example.

        Padded examples are parted so that the passes together cost least: tokens with padding, and `pass_tokens` for
        each pass.
        """
        order = np.argsort(-lengths, kind="stable")
        if self.packed:
            return _filled(order, lengths, max_tokens)
        return _cheapest(order, lengths[order], max_tokens, self.pass_tokens)

    def attending(self, model: Any) -> AbstractContextManager[None]:  # noqa: ANN401 - any transformers model
        """The model attends this way for as long as the context lasts; backward passes belong inside."""
        return _attending(model, self.attention)


def _filled(order: NDArray[np.int64], lengths: NDArray[np.int64], max_tokens: int) -> list[NDArray[np.int64]]:
    groups: list[list[int]] = []
    tokens = max_tokens + 1
    for place in order:
        tokens += int(lengths[place])
        if tokens > max_tokens:
            groups.append([])
            tokens = int(lengths[place])
        groups[-1].append(int(place))
    return [np.array(group, dtype=np.int64) for group in groups]


def _cheapest(
    order: NDArray[np.int64], lengths: NDArray[np.int64], max_tokens: int, pass_tokens: int
) -> list[NDArray[np.int64]]:
    """Dynamic programming over where passes begin; `lengths` fall, so the first example of a pass is its width."""
    n = len(lengths)
    cost = np.zeros(n + 1, dtype=np.int64)
    begin = np.zeros(n + 1, dtype=np.int64)
    least = 0
    for end in range(1, n + 1):
        while least < end - 1 and (end - least) * lengths[least] > max_tokens:
            least += 1
        starts = np.arange(least, end)
        padded = (end - starts) * lengths[least:end]
        total = np.where((padded <= max_tokens) | (starts == end - 1), cost[least:end] + padded, np.iinfo(np.int64).max)
        best = int(total.argmin())
        begin[end] = least + best
        cost[end] = total[best] + pass_tokens
    groups, end = [], n
    while end > 0:
        groups.append(order[begin[end] : end])
        end = int(begin[end])
    return groups[::-1]


@contextmanager
def _attending(model: Any, attention: str | None) -> Iterator[None]:  # noqa: ANN401 - any transformers model
    if attention is None:
        yield
        return
    _register()
    before = model.config._attn_implementation
    model.set_attn_implementation(attention)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _register() -> None:
    from transformers import AttentionInterface

    AttentionInterface.register(PRODUCTS, product_attention)
    AttentionInterface.register(PACKED, packed_attention)

"""How rows of a request tree lie in a forward pass: one behind another, or below each other.

Legend: B = rows of a pass, S = tokens of a row.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch

from sftlab.lm.attention_windows import tells_windows
from sftlab.lm.base import LoadedBase
from sftlab.lm.last_layer import narrowed
from sftlab.lm.request_tree import Branch, Ids, Row, RowBatch, RowTokens, attends, row_tokens
from sftlab.lm.tree_attention import TreeLayout, attending_as_tree


def sequence_inputs(base: LoadedBase, batch: RowBatch, tokens: Sequence[RowTokens]) -> dict[str, Any]:
    """Arguments of the forward pass over rows one behind another."""
    ids = np.concatenate([one.ids for one in tokens]).astype(np.int64)
    positions = np.concatenate([one.positions for one in tokens])
    return {
        "input_ids": torch.from_numpy(ids)[None].to(base.device),
        "position_ids": torch.from_numpy(positions)[None].to(base.device),
        "tree": TreeLayout([(one.positions, attends(one)) for one in tokens], num_prefix=len(batch.prefix_ids)),
        "use_cache": False,
    }


def padded_inputs(base: LoadedBase, batch: RowBatch, tokens: Sequence[RowTokens]) -> dict[str, Any]:
    """Arguments of the forward pass; positions and mask only where branches must be kept apart.

    Otherwise causal attention alone is right: no token sees the padding to the right of it.
    """
    width = max(len(one.ids) for one in tokens)
    ids = np.full((len(tokens), width), base.pad_id, dtype=np.int64)
    for row, one in enumerate(tokens):
        ids[row, : len(one.ids)] = one.ids
    inputs: dict[str, Any] = {"input_ids": torch.from_numpy(ids).to(base.device), "use_cache": False}
    if not any(row.forks for row in batch.rows):
        return inputs
    num_prefix = len(batch.prefix_ids)
    positions = np.full(ids.shape, num_prefix, dtype=np.int64)
    seen = np.zeros((*ids.shape, width), dtype=np.bool_)
    seen[:, np.arange(width), np.arange(width)] = True
    for row, one in enumerate(tokens):
        length = len(one.ids)
        positions[row, :length] = one.positions
        seen[row, :length, :length] = attends(one)
    dtype = base.model.dtype
    mask = torch.zeros((len(tokens), 1, width, num_prefix + width), dtype=dtype, device=base.device)
    hidden = torch.from_numpy(~seen).to(base.device)
    mask[:, 0, :, num_prefix:].masked_fill_(hidden, torch.finfo(dtype).min)
    inputs.update(position_ids=torch.from_numpy(positions).to(base.device), attention_mask=mask)
    return inputs


def prefix_cache(base: LoadedBase, prefix_ids: Ids, *, whole: bool) -> Any:  # noqa: ANN401 - a transformers cache
    """Keys and values of a prefix, computed now, to be lent to any number of rows; None where the model has others.

    `whole` keeps those of all positions, whatever window a layer has: attention must then be told the window.
    """
    from transformers.cache_utils import DynamicCache

    from sftlab.lm.prefix_cache import lent_cache

    ids = torch.from_numpy(prefix_ids.astype(np.int64)).to(base.device)
    given = {"past_key_values": DynamicCache()} if whole else {}
    with base.computing(), narrowed(base, torch.zeros(1, dtype=torch.long, device=base.device)):
        return lent_cache(base.model.base_model(input_ids=ids[None], use_cache=True, **given).past_key_values)


RowLayout = Literal["sequence", "rows", "apart"]
"""Rows one behind another, rows below each other, or every continuation as a row of its own."""

_LAYOUTS: "WeakKeyDictionary[LoadedBase, RowLayout]" = WeakKeyDictionary()


def row_layout(base: LoadedBase) -> RowLayout:
    """How rows are computed; branches and lent prefixes must give what separate rows give: found by trying, once.

    `apart` for models whose attention cannot be told what is seen (recurrent states) or that take positions from the
    place in the row. On GPUs rows lie below each other, for the attention of a sequence takes row by row.
    """
    if base not in _LAYOUTS:
        with torch.inference_mode():
            if base.device.type == "cpu" and attends_as_tree(base):
                _LAYOUTS[base] = "sequence"
            else:
                _LAYOUTS[base] = "rows" if _agrees(base, padded=True) else "apart"
    return _LAYOUTS[base]


_AS_TREE: "WeakKeyDictionary[LoadedBase, bool]" = WeakKeyDictionary()


def attends_as_tree(base: LoadedBase) -> bool:
    """Whether rows one behind another give what separate rows give; found by trying, once for each base."""
    if base not in _AS_TREE:
        with torch.inference_mode():
            _AS_TREE[base] = _tells_windows(base) and _agrees(base, padded=False)
    return _AS_TREE[base]


_TRIAL_ERRORS = (AssertionError, AttributeError, TypeError, ValueError, RuntimeError, IndexError)


def _tells_windows(base: LoadedBase) -> bool:
    try:
        return tells_windows(base.model)
    except _TRIAL_ERRORS:
        return False


def _agrees(base: LoadedBase, *, padded: bool) -> bool:
    """Whether two branches after a lent prefix give the hidden states that each gives alone."""
    context = np.arange(6, dtype=np.int32)
    branches = [np.array(ids, dtype=np.int32) for ids in ([1, 2, 3], [4, 5, 4, 3])]
    prefix = context[:3]
    try:
        cache = prefix_cache(base, prefix, whole=not padded)
        if cache is None:
            return False
        row = Row(context, tuple(Branch(number, ids) for number, ids in enumerate(branches)))
        tokens = row_tokens(row, len(prefix))
        inputs = (padded_inputs if padded else sequence_inputs)(base, RowBatch(prefix, (row,), padded), [tokens])
        with base.computing():
            with nullcontext() if padded else attending_as_tree(base.model):
                together = base.model.base_model(**inputs, past_key_values=cache).last_hidden_state[0]
            for number, branch in enumerate(branches, start=1):
                ids = torch.from_numpy(np.concatenate([context, branch[:-1]]).astype(np.int64)).to(base.device)
                apart = base.model.base_model(input_ids=ids[None], use_cache=False).last_hidden_state[0, len(prefix) :]
                own = torch.from_numpy((tokens.branch == 0) | (tokens.branch == number)).to(base.device)
                tolerance = 1e-4 if apart.dtype == torch.float32 and base.precision.compute == "float32" else 0.05
                if float((together[own] - apart).abs().max()) > tolerance * float(apart.abs().max()):
                    return False
    except _TRIAL_ERRORS:
        return False
    return True

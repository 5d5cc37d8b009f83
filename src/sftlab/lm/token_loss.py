"""Negative log-likelihood of the tokens that count, without logits anywhere else.

Legend: B = rows, T = positions (padded on the right), L = labelled tokens of the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from sftlab.lm.base import LoadedBase
from sftlab.lm.encoding import EncodedExamples

CHUNK_LOGITS = 2**27
"""Logits (512 MB in float32) above which they are made and dropped in chunks."""


@dataclass(frozen=True)
class PaddedBatch:
    """Examples as rows: `ids` is B x T; per labelled token its id, its row, and where it is predicted from.

    `predicted_from` counts into the B T positions written one after another; it is the position before the label.
    """

    ids: Tensor
    labels: Tensor
    rows: Tensor
    predicted_from: Tensor


def token_batches(lengths: NDArray[np.int64], max_tokens: int) -> list[NDArray[np.int64]]:
    """Groups of examples, longest first, each of at most `max_tokens` padded tokens (or of one example)."""
    groups: list[NDArray[np.int64]] = []
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, max_tokens // int(lengths[order[start]]))
        groups.append(order[start : start + size])
        start += size
    return groups


def padded_batch(encoded: EncodedExamples, numbers: Sequence[int] | NDArray[np.int64], base: LoadedBase) -> PaddedBatch:
    """The examples of these numbers on the base's device, padded on the right.

    No attention mask is needed: under causal attention no token sees what is to the right of it, and padding is never
    a label.
    """
    lengths = encoded.lengths[numbers]
    ids = np.full((len(lengths), int(lengths.max())), base.pad_id, dtype=np.int64)
    learned = np.zeros(ids.shape, dtype=np.bool_)
    for row, number in enumerate(numbers):
        span = slice(encoded.offsets[number], encoded.offsets[number + 1])
        ids[row, : lengths[row]] = encoded.ids[span]
        learned[row, : lengths[row]] = encoded.learned[span]
    rows, positions = np.nonzero(learned)
    arrays = (ids, ids[rows, positions], rows, rows * ids.shape[1] + positions - 1)
    return PaddedBatch(*(torch.from_numpy(array).to(base.device, non_blocking=True) for array in arrays))


def token_losses(base: LoadedBase, batch: PaddedBatch, *, plain_head: bool) -> Tensor:
    """Negative log-likelihood in nats of every labelled token (L, float32), with gradients where they are asked for.

    With `plain_head` (see `has_plain_head`) the language-model head runs on the L positions only.
    """
    model = base.model
    with base.computing():
        if not plain_head:
            logits = model(input_ids=batch.ids, use_cache=False).logits.flatten(0, 1)[batch.predicted_from]
            return _losses_of_logits(logits, batch.labels)
        hidden = _hidden(base, batch.ids).flatten(0, 1)[batch.predicted_from]
        head = model.get_output_embeddings()
        chunk = max(1, CHUNK_LOGITS // head.weight.shape[0])
        if len(hidden) <= chunk:
            return _losses_of_logits(head(hidden), batch.labels)
        pieces = zip(torch.split(hidden, chunk), torch.split(batch.labels, chunk), strict=True)
        # Logits of a chunk are made again in the backward pass, so that only one chunk's are ever held.
        again = partial(checkpoint, lambda part, labels: _losses_of_logits(head(part), labels), use_reentrant=False)
        return torch.cat([again(part, labels) for part, labels in pieces])


def _losses_of_logits(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(logits.float(), labels, reduction="none")


def _hidden(base: LoadedBase, ids: Tensor) -> Tensor:
    hidden: Tensor = base.model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    return hidden


def has_plain_head(base: LoadedBase) -> bool:
    """Whether logits are the output embeddings applied to the last hidden state, without scaling or soft-capping.

    Found by trying: both ways of computing the same logits must agree to the last bit.
    """
    model = base.model
    head = model.get_output_embeddings()
    if head is None or model.base_model is model:
        return False
    ids = torch.arange(8, device=base.device)[None] % head.weight.shape[0]
    with torch.inference_mode():
        try:
            return torch.equal(head(_hidden(base, ids)), model(input_ids=ids, use_cache=False).logits)
        except (AttributeError, TypeError):
            return False

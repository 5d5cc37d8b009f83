"""Negative log-likelihood of the tokens that count, without logits anywhere else.

Legend: B = rows, T = positions, L = labelled tokens of the batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from sftlab.lm.base import LoadedBase
from sftlab.lm.encoding import EncodedExamples
from sftlab.lm.kernel import Kernel
from sftlab.lm.packed_attention import boundaries

CHUNK_LOGITS = 2**27
"""Logits (512 MB in float32) above which they are made and dropped in chunks."""


@dataclass(frozen=True)
class TokenBatch:
    """Examples of one pass: `ids` is B x T; per labelled token its id, its example, and where it is predicted from.

    Padded, an example is a row; packed, all of them lie in one row, one behind another. `examples` counts within the
    batch. `predicted_from` counts into the B T positions written one after another; it is the position before the
    label. `arguments` are what the model is called with beside the ids.
    """

    ids: Tensor
    labels: Tensor
    examples: Tensor
    predicted_from: Tensor
    arguments: Mapping[str, object] = field(default_factory=dict)


def token_batch(
    encoded: EncodedExamples, numbers: Sequence[int] | NDArray[np.int64], base: LoadedBase, kernel: Kernel
) -> TokenBatch:
    """The examples of these numbers on the base's device, in the kernel's layout."""
    return (packed_batch if kernel.packed else padded_batch)(encoded, numbers, base)


def synthetic_batch(base: LoadedBase, lengths: NDArray[np.int64], *, packed: bool) -> TokenBatch:
    """Examples of these lengths out of any tokens, half of them learned: for trials of speed and agreement."""
    tokens = np.arange(int(lengths.sum()))
    vocabulary = int(base.model.get_input_embeddings().weight.shape[0])
    examples = np.split(tokens * 7919 % vocabulary, np.cumsum(lengths)[:-1])
    learned = [np.arange(length) % 2 == 1 for length in lengths]
    return (_packed if packed else _padded)(base, examples, learned)


def padded_batch(encoded: EncodedExamples, numbers: Sequence[int] | NDArray[np.int64], base: LoadedBase) -> TokenBatch:
    """Examples as rows, padded on the right.

    No attention mask is needed: under causal attention no token sees what is to the right of it, and padding is never
    a label.
    """
    return _padded(base, *_of_numbers(encoded, numbers))


def packed_batch(encoded: EncodedExamples, numbers: Sequence[int] | NDArray[np.int64], base: LoadedBase) -> TokenBatch:
    """Examples in one row without padding, for a model that attends by `PACKED`; positions restart at each."""
    return _packed(base, *_of_numbers(encoded, numbers))


_Ids = Sequence[NDArray[np.integer[Any]]]
_Learned = Sequence[NDArray[np.bool_]]


def _of_numbers(encoded: EncodedExamples, numbers: Sequence[int] | NDArray[np.int64]) -> tuple[_Ids, _Learned]:
    spans = [slice(encoded.offsets[number], encoded.offsets[number + 1]) for number in numbers]
    return [encoded.ids[span] for span in spans], [encoded.learned[span] for span in spans]


def _padded(base: LoadedBase, examples: _Ids, learned: _Learned) -> TokenBatch:
    ids = np.full((len(examples), max(map(len, examples))), base.pad_id, dtype=np.int64)
    counts = np.zeros(ids.shape, dtype=np.bool_)
    for row, (tokens, which) in enumerate(zip(examples, learned, strict=True)):
        ids[row, : len(tokens)] = tokens
        counts[row, : len(tokens)] = which
    rows, positions = np.nonzero(counts)
    return _batch_on_device(base, ids, rows * ids.shape[1] + positions, rows)


def _packed(base: LoadedBase, examples: _Ids, learned: _Learned) -> TokenBatch:
    lengths = np.array([len(tokens) for tokens in examples])
    ids = np.concatenate(examples).astype(np.int64)
    places = np.flatnonzero(np.concatenate(learned))
    of_token = np.repeat(np.arange(len(lengths)), lengths)
    positions = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    arguments = {"position_ids": _on_device(base, positions[None]), **boundaries(lengths, base.device).arguments}
    return _batch_on_device(base, ids[None], places, of_token[places], arguments)


def _batch_on_device(
    base: LoadedBase,
    ids: NDArray[np.int64],
    places: NDArray[np.int64],
    examples: NDArray[np.int64],
    arguments: Mapping[str, object] | None = None,
) -> TokenBatch:
    arrays = (ids, ids.reshape(-1)[places], examples, places - 1)
    tensor, labels, of_example, predicted_from = (_on_device(base, array) for array in arrays)
    return TokenBatch(tensor, labels, of_example, predicted_from, arguments or {})


def _on_device(base: LoadedBase, array: NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(array).to(base.device, non_blocking=True)


def token_losses(base: LoadedBase, batch: TokenBatch, *, plain_head: bool) -> Tensor:
    """Negative log-likelihood in nats of every labelled token (L, float32), with gradients where they are asked for.

    With `plain_head` (see `has_plain_head`) the language-model head runs on the L positions only.
    """
    return base.ranks.run(lambda: _token_losses(base, batch, plain_head=plain_head))


def _token_losses(base: LoadedBase, batch: TokenBatch, *, plain_head: bool) -> Tensor:
    model = base.model
    with base.computing():
        if not plain_head:
            logits = model(input_ids=batch.ids, use_cache=False, **batch.arguments).logits
            return _losses_of_logits(logits.flatten(0, 1)[batch.predicted_from], batch.labels)
        hidden = _hidden(base, batch.ids, batch.arguments).flatten(0, 1)[batch.predicted_from]
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


def _hidden(base: LoadedBase, ids: Tensor, arguments: Mapping[str, object]) -> Tensor:
    hidden: Tensor = base.model.base_model(input_ids=ids, use_cache=False, **arguments).last_hidden_state
    return hidden


def has_plain_head(base: LoadedBase) -> bool:
    """Whether logits are the output embeddings applied to the last hidden state, without scaling or soft-capping.

    Found by trying, once for each model: both ways of computing the same logits must agree to the last bit.
    """
    if base.model not in _HAS_PLAIN_HEAD:
        _HAS_PLAIN_HEAD[base.model] = _has_plain_head_in_trial(base)
    return _HAS_PLAIN_HEAD[base.model]


_HAS_PLAIN_HEAD: "WeakKeyDictionary[Any, bool]" = WeakKeyDictionary()


def _has_plain_head_in_trial(base: LoadedBase) -> bool:
    model = base.model
    head = model.get_output_embeddings()
    if head is None or model.base_model is model:
        return False
    ids = torch.arange(8, device=base.device)[None] % head.weight.shape[0]
    with torch.inference_mode():
        try:
            return torch.equal(head(_hidden(base, ids, {})), model(input_ids=ids, use_cache=False).logits)
        except (AttributeError, TypeError):
            return False

"""How well each example's tokens are predicted by what a base holds now."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from sftlab.lm.base import LoadedBase
from sftlab.lm.encoding import EncodedExamples
from sftlab.lm.memory import run_within_memory
from sftlab.lm.token_loss import has_plain_head, token_batch, token_losses


@dataclass(frozen=True, eq=False)
class ExampleNats:
    """Negative log-likelihood in nats of each example: of its learned tokens, and of those of them in its response."""

    learned: NDArray[np.float64]
    response: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Part:
    numbers: NDArray[np.int64]
    longest: int

    @property
    def num_tokens(self) -> int:
        return len(self.numbers) * self.longest

    def halves(self) -> tuple[Self, ...]:
        middle = len(self.numbers) // 2
        parts = (self.numbers[:middle], self.numbers[middle:]) if middle else ()
        return tuple(type(self)(part, self.longest) for part in parts)


def example_nats(base: LoadedBase, encoded: EncodedExamples, *, max_batch_tokens: int) -> ExampleNats:
    """Predict the learned tokens of all examples: see `summed_nats`."""
    flags = (encoded.learned, encoded.learned & encoded.response)
    return ExampleNats(*summed_nats(base, encoded, flags, max_batch_tokens=max_batch_tokens))


def summed_nats(
    base: LoadedBase, encoded: EncodedExamples, flags: Sequence[NDArray[np.bool_]], *, max_batch_tokens: int
) -> tuple[NDArray[np.float64], ...]:
    """Negative log-likelihood in nats of each example, once for each of the flag arrays: over the tokens it marks.

    Flags have one entry a token, as `encoded.ids`; the first array marks all that the others mark, and never the first
    token of an example. One pass serves them all, in batches of `max_batch_tokens` padded tokens, smaller where memory
    runs out. The model is in eval mode. Raises ModelError where one example alone does not fit into memory. Several
    ranks predict a share of the examples each, and one that runs out of memory raises what torch raised.
    """
    assert not base.model.training
    predicted = replace(encoded, learned=flags[0])
    found = tuple(np.zeros(len(encoded)) for _ in flags)
    plain_head = has_plain_head(base)

    def predict(part: _Part, *, counts: bool = True) -> None:
        batch = token_batch(predicted, part.numbers, base, base.kernel)
        losses = token_losses(base, batch, plain_head=plain_head).double().cpu().numpy()
        rows = batch.examples.cpu().numpy()
        if not counts:
            return
        for sums, marked in zip(found, flags, strict=True):
            weights = np.concatenate([_of_predicted(predicted, marked, number) for number in part.numbers])
            sums[part.numbers] = np.bincount(rows, losses * weights, minlength=len(part.numbers))

    passes = base.ranks.passes(encoded.lengths, lambda lengths: base.kernel.groups(lengths, max_batch_tokens))
    parts = [_Part(one.places, int(encoded.lengths[one.places].max())) for one in passes]
    with torch.inference_mode(), base.kernel.attending(base.model):
        if base.ranks.count == 1:
            run_within_memory(parts, predict)
            return found
        # A rank that parted its passes would fall out of step with the others.
        for one, part in zip(passes, parts, strict=True):
            predict(part, counts=one.counts)
    return tuple(base.ranks.total(torch.from_numpy(nats)).numpy() for nats in found)


def _of_predicted(predicted: EncodedExamples, marked: NDArray[np.bool_], number: int) -> NDArray[np.bool_]:
    span = slice(predicted.offsets[number], predicted.offsets[number + 1])
    return marked[span][predicted.learned[span]]

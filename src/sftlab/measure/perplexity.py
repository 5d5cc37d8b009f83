"""How surprising the responses of a dataset are to a base (version 1 of the measure `perplexity`)."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from sftlab.analyse import intervals
from sftlab.lm.base import LoadedBase
from sftlab.lm.encoding import EncodedExamples
from sftlab.lm.memory import run_within_memory
from sftlab.lm.token_loss import has_plain_head, padded_batch, token_batches, token_losses
from sftlab.measure.measured import Measured, exponential, property_frame


@dataclass(frozen=True, eq=False)
class _ExampleBatch:
    numbers: NDArray[np.int64]
    longest: int

    @property
    def num_tokens(self) -> int:
        return len(self.numbers) * self.longest

    def halves(self) -> tuple[Self, ...]:
        middle = len(self.numbers) // 2
        parts = (self.numbers[:middle], self.numbers[middle:]) if middle else ()
        return tuple(type(self)(part, self.longest) for part in parts)


def response_perplexity(base: LoadedBase, encoded: EncodedExamples, *, max_batch_tokens: int) -> Measured:
    """Perplexity and bits per byte of the responses given their prompts, under what the base holds now.

    `response_perplexity` is exp of the mean negative log-likelihood of the learned tokens, each weighing the same; the
    token that ends a response is one of them. (Under `loss_on: all` the prompt's tokens are learned too.)
    `response_bits_per_byte` is the code length of the response text over its UTF-8 bytes, without the end token, which
    has no bytes: it compares bases with different tokenizers. Both are ratios of sums over examples; their intervals
    are by linearisation (`intervals.ratio`), the perplexity's on the log scale. Rows of `examples`: log-likelihood of
    the learned tokens and their number; log-likelihood of the response text, and its bytes.
    """
    learned_nats_N, response_nats_N = _nats(base, encoded, max_batch_tokens)
    num_tokens_N = _sum_by_example(encoded, encoded.learned)
    num_bytes_N = np.asarray(encoded.response_bytes, dtype=np.int64)
    perplexity = bits = None
    if len(encoded):
        perplexity = exponential(intervals.ratio(learned_nats_N, num_tokens_N))
    if num_bytes_N.sum() > 0:
        bits = intervals.ratio(response_nats_N / math.log(2), num_bytes_N.astype(np.float64))
    examples = pl.DataFrame(
        {
            "index": np.asarray(encoded.source_rows, dtype=np.int64),
            "log_likelihood": -learned_nats_N,
            "num_tokens": num_tokens_N.astype(np.int64),
            "response_log_likelihood": -response_nats_N,
            "num_bytes": num_bytes_N,
        }
    )
    return Measured(property_frame({"response_perplexity": perplexity, "response_bits_per_byte": bits}), examples)


def _nats(
    base: LoadedBase, encoded: EncodedExamples, max_batch_tokens: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Negative log-likelihood in nats of each example's learned tokens, and of those of them in its response."""
    learned_nats_N, response_nats_N = np.zeros(len(encoded)), np.zeros(len(encoded))
    plain_head = has_plain_head(base)

    def run(part: _ExampleBatch) -> None:
        batch = padded_batch(encoded, part.numbers, base)
        losses = token_losses(base, batch, plain_head=plain_head).double().cpu().numpy()
        rows = batch.rows.cpu().numpy()
        in_response = np.concatenate([_response_of_learned(encoded, number) for number in part.numbers])
        learned_nats_N[part.numbers] = np.bincount(rows, losses, minlength=len(part.numbers))
        response_nats_N[part.numbers] = np.bincount(rows, losses * in_response, minlength=len(part.numbers))

    batches = [
        _ExampleBatch(numbers, int(encoded.lengths[numbers].max()))
        for numbers in token_batches(encoded.lengths, max_batch_tokens)
    ]
    training = base.model.training
    base.model.eval()
    with torch.inference_mode():
        run_within_memory(batches, run)
    base.model.train(training)
    return learned_nats_N, response_nats_N


def _response_of_learned(encoded: EncodedExamples, number: int) -> NDArray[np.bool_]:
    span = slice(encoded.offsets[number], encoded.offsets[number + 1])
    return encoded.response[span][encoded.learned[span]]


def _sum_by_example(encoded: EncodedExamples, flags: NDArray[np.bool_]) -> NDArray[np.float64]:
    counts = np.concatenate([[0], np.cumsum(flags, dtype=np.int64)])
    sums: NDArray[np.float64] = (counts[encoded.offsets[1:]] - counts[encoded.offsets[:-1]]).astype(np.float64)
    return sums

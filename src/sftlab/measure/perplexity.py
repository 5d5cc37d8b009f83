"""How surprising the responses of a dataset are to a base (version 1 of the measure `perplexity`)."""

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftlab.analyse import intervals
from sftlab.lm.base import LoadedBase
from sftlab.lm.encoding import EncodedExamples
from sftlab.lm.example_loss import example_nats
from sftlab.measure.measured import Measured, exponential, property_frame


def response_perplexity(base: LoadedBase, encoded: EncodedExamples, *, max_batch_tokens: int) -> Measured:
    """Perplexity and bits per byte of the responses given their prompts, under what the base holds now.

    `response_perplexity` is exp of the mean negative log-likelihood of the learned tokens, each weighing the same; the
    token that ends a response is one of them. (Under `loss_on: all` the prompt's tokens are learned too.)
    `response_bits_per_byte` is the code length of the response text over its UTF-8 bytes, without the end token, which
    has no bytes: it compares bases with different tokenizers. Both are ratios of sums over examples; their intervals
    are by linearisation (`intervals.ratio`), the perplexity's on the log scale. Rows of `examples`: log-likelihood of
    the learned tokens and their number; log-likelihood of the response text, and its bytes.
    """
    nats = example_nats(base, encoded, max_batch_tokens=max_batch_tokens)
    num_tokens_N = _sum_by_example(encoded, encoded.learned)
    num_bytes_N = np.asarray(encoded.response_bytes, dtype=np.int64)
    perplexity = bits = None
    if len(encoded):
        perplexity = exponential(intervals.ratio(nats.learned, num_tokens_N))
    if num_bytes_N.sum() > 0:
        bits = intervals.ratio(nats.response / math.log(2), num_bytes_N.astype(np.float64))
    examples = pl.DataFrame(
        {
            "index": np.asarray(encoded.source_rows, dtype=np.int64),
            "log_likelihood": -nats.learned,
            "num_tokens": num_tokens_N.astype(np.int64),
            "response_log_likelihood": -nats.response,
            "num_bytes": num_bytes_N,
        }
    )
    return Measured(property_frame({"response_perplexity": perplexity, "response_bits_per_byte": bits}), examples)


def _sum_by_example(encoded: EncodedExamples, flags: NDArray[np.bool_]) -> NDArray[np.float64]:
    counts = np.concatenate([[0], np.cumsum(flags, dtype=np.int64)])
    sums: NDArray[np.float64] = (counts[encoded.offsets[1:]] - counts[encoded.offsets[:-1]]).astype(np.float64)
    return sums

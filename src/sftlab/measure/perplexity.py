"""How surprising the texts of a dataset are to a base (version 2 of the measure `perplexity`)."""

import math

import numpy as np
import polars as pl

from sftlab.analyse import intervals
from sftlab.analyse.intervals import Estimate
from sftlab.measure.measured import Measured, exponential, property_frame
from sftlab.measure.passes import Passes, marked_tokens, not_first


def response_perplexity(passes: Passes) -> Measured:
    """Perplexities and bits per byte, under what the base holds now.

    `response_perplexity` is exp of the mean negative log-likelihood of the learned tokens given their prompts, each
    weighing the same; the token that ends a response is one of them. (Under `loss_on: all` the prompt's tokens are
    learned too.) `mean_response_perplexity` is the mean over examples of each one's own such perplexity: examples weigh
    the same, and the most surprising ones carry it. `text_perplexity` is that of all tokens but each example's first,
    prompt and template included. `response_bits_per_byte` is the code length of the response text over its UTF-8
    bytes, without the end token, which has no bytes: it compares bases with different tokenizers.

    All but the mean are ratios of sums over examples; their intervals are by linearisation (`intervals.ratio`), the
    perplexities' on the log scale. Rows of `examples`: log-likelihood of the learned tokens and their number;
    log-likelihood of the response text, and its bytes.
    """
    encoded, nats = passes.encoded, passes.given
    num_tokens_N = marked_tokens(encoded, encoded.learned)
    num_bytes_N = np.asarray(encoded.response_bytes, dtype=np.int64)
    found: dict[str, Estimate | None] = dict.fromkeys(
        ("response_perplexity", "response_bits_per_byte", "mean_response_perplexity", "text_perplexity")
    )
    if len(encoded):
        found["response_perplexity"] = exponential(intervals.ratio(nats.learned, num_tokens_N))
        found["mean_response_perplexity"] = intervals.mean(np.exp(np.minimum(nats.learned / num_tokens_N, LARGEST)))
        text_tokens_N = marked_tokens(encoded, not_first(encoded))
        found["text_perplexity"] = exponential(intervals.ratio(nats.text, text_tokens_N))
    if num_bytes_N.sum() > 0:
        found["response_bits_per_byte"] = intervals.ratio(nats.response / math.log(2), num_bytes_N.astype(np.float64))
    examples = pl.DataFrame(
        {
            "index": np.asarray(encoded.source_rows, dtype=np.int64),
            "log_likelihood": -nats.learned,
            "num_tokens": num_tokens_N.astype(np.int64),
            "response_log_likelihood": -nats.response,
            "num_bytes": num_bytes_N,
        }
    )
    return Measured(property_frame(found), examples)


LARGEST = 300.0
"""Nats a token above which a perplexity's square would be no number any more."""

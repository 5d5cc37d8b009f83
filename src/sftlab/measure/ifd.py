"""How much a prompt helps to predict its response (version 1 of the measure `ifd`)."""

import numpy as np
import polars as pl

from sftlab.analyse import intervals
from sftlab.analyse.intervals import Estimate
from sftlab.measure.measured import Measured, exponential, property_frame
from sftlab.measure.passes import Passes, marked_tokens


def instruction_following_difficulty(passes: Passes) -> Measured:
    """`ifd`: mean over examples of NLL(response given prompt) / NLL(response), and what the second comes to.

    Li et al. 2024 (arXiv 2308.12032): near 1 the prompt is no help, below it is; it is a ratio of negative
    log-likelihoods, never of perplexities. Both count the same tokens, those of the response text without its end, of
    every turn of the assistant; alone, each turn stands behind the beginning of sequence.
    `unconditional_response_perplexity` is exp of the mean NLL of these tokens alone. Rows of `examples`: both
    log-likelihoods, the number of tokens, and the ratio; it is null where the response alone is not surprising at all.
    """
    encoded, given, alone = passes.encoded, passes.given.response, passes.alone
    num_tokens_N = marked_tokens(encoded, encoded.learned & encoded.response)
    has_ratio = alone > 0
    ratio_N = given[has_ratio] / alone[has_ratio]
    found: dict[str, Estimate | None] = {"ifd": None, "unconditional_response_perplexity": None}
    if len(ratio_N):
        found["ifd"] = intervals.mean(ratio_N)
    if num_tokens_N.sum() > 0:
        found["unconditional_response_perplexity"] = exponential(intervals.ratio(alone, num_tokens_N))
    ratios = iter(ratio_N.tolist())
    examples = pl.DataFrame(
        {
            "index": np.asarray(encoded.source_rows, dtype=np.int64),
            "given_log_likelihood": -given,
            "alone_log_likelihood": -alone,
            "num_tokens": num_tokens_N.astype(np.int64),
            "ifd": pl.Series([next(ratios) if has else None for has in has_ratio], dtype=pl.Float64),
        }
    )
    return Measured(property_frame(found), examples)

"""How long prompts and responses are (version 1 of the measure `length`)."""

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from sftlab.analyse import intervals
from sftlab.analyse.intervals import CONFIDENCE, Estimate
from sftlab.lm.encoding import EncodedExamples
from sftlab.measure.measured import Measured, property_frame

PARTS = ("prompt_tokens", "response_tokens", "prompt_bytes", "response_bytes")


def response_and_prompt_length(encoded: EncodedExamples) -> Measured:
    """Mean (under the part's name) and median (`..._median`) of tokens and UTF-8 bytes, prompt and response apart.

    Of what is trained on: cut examples count as cut, dropped ones do not count; the prompt includes the template's
    text, and neither part the beginning and end of sequence. Means have Student's t interval, medians the
    distribution-free one of order statistics, which has no standard error.
    """
    length_by_part = {part: np.asarray(getattr(encoded, part), dtype=np.float64) for part in PARTS}
    estimates: dict[str, Estimate | None] = {}
    for part, length_N in length_by_part.items():
        estimates[part] = intervals.mean(length_N) if len(length_N) else None
        estimates[f"{part}_median"] = median(length_N) if len(length_N) else None
    examples = pl.DataFrame({"index": encoded.source_rows, **{part: getattr(encoded, part) for part in PARTS}})
    return Measured(property_frame(estimates), examples.cast(dict.fromkeys(("index", *PARTS), pl.Int64())))


def median(value_N: NDArray[np.float64]) -> Estimate:
    """Median with the shortest symmetric interval of order statistics that covers at least 95 % for any distribution.

    The k-th smallest and k-th largest enclose the median with probability 1 - 2 P(Binomial(n, 1/2) < k) (Conover 1999,
    3.2). Fewer than six values have no such interval.
    """
    n = len(value_N)
    assert n > 0
    ordered_N = np.sort(value_N)
    middle = float(np.median(ordered_N))
    outside = int(stats.binom.ppf((1 - CONFIDENCE) / 2, n, 0.5))
    if outside == 0:
        return Estimate(middle, None, None, None, n)
    return Estimate(middle, None, float(ordered_N[outside - 1]), float(ordered_N[n - outside]), n)

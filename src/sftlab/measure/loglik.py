"""Log-likelihoods of fixed texts (version 1 of the measure `loglik`)."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from sftlab.data.probe import ProbeText
from sftlab.lm.base import LoadedBase
from sftlab.lm.encoding import EncodedExamples
from sftlab.lm.example_loss import summed_nats
from sftlab.lm.likelihood import Request, encode_pairs
from sftlab.measure.passes import not_first

SCHEMA: dict[str, pl.DataType] = {
    "text": pl.String(),
    "domain": pl.String(),
    "language": pl.String(),
    "log_likelihood": pl.Float64(),
    "num_bytes": pl.Int64(),
    "num_tokens": pl.Int64(),
    "status": pl.String(),
    "reason": pl.String(),
}


def text_log_likelihoods(base: LoadedBase, texts: Sequence[ProbeText], *, max_batch_tokens: int) -> pl.DataFrame:
    """Total log-likelihood in nats of each text under what the base holds now.

    All tokens of a text count, the first too: it is predicted from the beginning-of-sequence id, or the
    end-of-sequence id where the tokenizer has none. No template, no end token: every model is asked for the same
    bytes, so that totals, and totals per byte, compare models with different tokenizers. A text longer than the
    context is `unfit`, and its log-likelihood null.
    """
    requests = encode_pairs(base, [("", text.text) for text in texts])
    unfit = {
        place: f"{request.num_inputs} tokens, and the context holds {base.context_length}"
        for place, request in enumerate(requests)
        if request.num_inputs > base.context_length
    }
    fits = [place for place in range(len(texts)) if place not in unfit]
    encoded = _encoded([requests[place] for place in fits])
    (nats,) = summed_nats(base, encoded, (not_first(encoded),), max_batch_tokens=max_batch_tokens)
    known = dict(zip(fits, (-nats).tolist(), strict=True))
    rows = [
        {
            "text": text.name,
            "domain": text.domain,
            "language": text.language,
            "log_likelihood": None if place in unfit else known[place],
            "num_bytes": len(text.text.encode()),
            "num_tokens": len(requests[place].continuation_ids),
            "status": "unfit" if place in unfit else "done",
            "reason": unfit.get(place),
        }
        for place, text in enumerate(texts)
    ]
    assert all(row["log_likelihood"] is None or np.isfinite(row["log_likelihood"]) for row in rows)
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _encoded(requests: Sequence[Request]) -> EncodedExamples:
    """Each text behind the one id that it is predicted from."""
    sequences = [np.concatenate([request.context_ids, request.continuation_ids]) for request in requests]
    lengths = np.array([len(ids) for ids in sequences], dtype=np.int64)
    ids = np.concatenate([np.zeros(0, dtype=np.int32), *sequences]).astype(np.int32)
    nothing = np.zeros(len(sequences), dtype=np.int64)
    return EncodedExamples(
        digest="",
        ids=ids,
        learned=np.ones(len(ids), dtype=np.bool_),
        response=np.ones(len(ids), dtype=np.bool_),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        positions=np.arange(len(sequences)),
        source_rows=np.arange(len(sequences)),
        prompt_bytes=nothing,
        response_bytes=nothing,
        prompt_tokens=nothing,
        response_tokens=lengths - 1,
        dropped=(),
        truncated=0,
        num_given=len(sequences),
    )

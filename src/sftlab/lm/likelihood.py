"""Log-likelihoods of continuations, as lm-evaluation-harness defines them, with every prompt computed once.

Legend: N = requests, B = rows of a forward pass, S = their tokens (padded on the right), P = tokens of the prefix that
they share, L = labels.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sftlab.lm.base import LoadedBase
from sftlab.lm.kept_answers import KeptAnswers, work_digest
from sftlab.lm.last_layer import LastStates
from sftlab.lm.memory import Shortage, run_within_memory
from sftlab.lm.request_tree import (
    Ids,
    Request,
    RowBatch,
    RowTokens,
    num_common,
    row_batches,
    row_tokens,
)
from sftlab.lm.row_layout import padded_inputs, prefix_cache, row_layout, sequence_inputs
from sftlab.lm.token_loss import CHUNK_LOGITS
from sftlab.lm.tokenizer import Segment, TokenizedModel
from sftlab.lm.tree_attention import attending_as_tree

__all__ = ["LogLikelihoods", "Request", "continuation_log_likelihoods", "encode_pair", "encode_pairs"]


@dataclass(frozen=True, eq=False)
class LogLikelihoods:
    """Of each of the N requests: its log-probability in nats, whether greedy decoding writes it, its tokens' number."""

    log_likelihood: NDArray[np.float64]
    is_greedy: NDArray[np.bool_]
    num_tokens: NDArray[np.int64]


def encode_pair(base: TokenizedModel, context: str, continuation: str) -> Request:
    """Ids of a continuation and its context; see `encode_pairs`."""
    return encode_pairs(base, [(context, continuation)])[0]


def encode_pairs(base: TokenizedModel, pairs: Sequence[tuple[str, str]]) -> list[Request]:
    """Ids of (context, continuation) pairs, parted as lm-evaluation-harness does.

    White space that ends the context is moved to the continuation; both are encoded as one text, and the continuation
    begins where its ids leave those of the context alone. The beginning-of-sequence id stands in front where the
    tokenizer puts it. A continuation that nothing precedes is predicted from the beginning-of-sequence id, or the
    end-of-sequence id where there is none. Text never becomes special tokens, here unlike there. `continuation_ids` may
    come out empty.
    """
    parted = [(context.rstrip(), context[len(context.rstrip()) :] + continuation) for context, continuation in pairs]
    contexts = list(dict.fromkeys(context for context, _ in parted))
    alone = dict(zip(contexts, _encoded(base, contexts), strict=True))
    wholes = _encoded(base, [context + continuation for context, continuation in parted])
    requests = []
    for (context, _), whole in zip(parted, wholes, strict=True):
        boundary = num_common(alone[context], whole)
        if boundary == 0:
            requests.append(Request(np.array([prefix_id(base)], dtype=np.int32), whole))
        else:
            requests.append(Request(whole[:boundary], whole[boundary:]))
    return requests


def prefix_id(base: TokenizedModel) -> int:
    """The id that stands before a text with nothing before it."""
    known = base.base_tokenizer
    if known.bos_id is not None:
        return known.bos_id
    bos = known.tokenizer.bos_token_id
    return int(bos) if bos is not None else known.eos_id


def _encoded(base: TokenizedModel, texts: Sequence[str]) -> list[Ids]:
    return [tokens.ids for tokens in base.base_tokenizer.encode([[Segment(text)] for text in texts])]


def continuation_log_likelihoods(
    base: LoadedBase,
    requests: Sequence[Request],
    *,
    max_batch_tokens: int,
    on_progress: Callable[[float], None] = lambda _: None,
    shortage: Shortage | None = None,
    kept: KeptAnswers | None = None,
) -> LogLikelihoods:
    """Log-likelihood of every continuation given its context, in the order of the requests.

    `on_progress` is told the share done. Sums are float64 over float32 log-probabilities; in float32 they depend on
    batching and order by less than 1e-5 of their size. Batches that do not fit in memory are halved; a request that
    does not fit alone is noted in `shortage` and its log-likelihood is NaN, or raises ModelError where none is given.
    Every request must fit the model's context (`Request.num_inputs`). Batches that are in `kept` are not asked again.
    """
    scoring = _Scoring(base, len(requests))
    layout = row_layout(base)
    sequences = (ids for request in requests for ids in (request.context_ids, request.continuation_ids))
    work = "" if kept is None else work_digest("likelihood", sequences, max_batch_tokens, layout)
    batches = row_batches(requests, max_tokens=max_batch_tokens, shares=layout != "apart", padded=layout != "sequence")

    if kept is not None:
        batches = scoring.without_known(batches, kept.read(work))

    def run(batch: RowBatch) -> None:
        scoring.run(batch)
        if kept is not None:
            kept.add(work, scoring.answers(batch))
        on_progress(scoring.num_done / len(requests))

    def leave_out(batch: RowBatch) -> None:
        assert shortage is not None
        for branch in batch.rows[0].branches:
            shortage.unfit[branch.request] = requests[branch.request].num_inputs
            scoring.log_likelihood_N[branch.request] = np.nan

    training = base.model.training
    base.model.eval()
    with torch.inference_mode():
        failures = run_within_memory(batches, run, leave_out=None if shortage is None else leave_out)
    base.model.train(training)
    if shortage is not None:
        shortage.times += failures
    num_tokens = np.array([len(request.continuation_ids) for request in requests], dtype=np.int64)
    return LogLikelihoods(scoring.log_likelihood_N, scoring.is_greedy_N, num_tokens)


class _Scoring:
    """Sums as they grow, and the prefix that is in memory."""

    def __init__(self, base: LoadedBase, num_requests: int) -> None:
        self.log_likelihood_N = np.zeros(num_requests)
        self.is_greedy_N = np.ones(num_requests, dtype=np.bool_)
        self.num_done = 0
        self._base = base
        self._last = LastStates(base)
        self._prefix: tuple[bytes, Any] = (b"", None)

    def run(self, batch: RowBatch) -> None:
        """Compute one batch and add what it says; on failure nothing is added."""
        tokens = [row_tokens(row, len(batch.prefix_ids)) for row in batch.rows]
        starts = _starts(tokens, padded=batch.padded)
        predicted_from = np.concatenate([start + one.predicted_from for start, one in zip(starts, tokens, strict=True)])
        labels = np.concatenate([one.labels for one in tokens])
        requests = np.concatenate([one.requests for one in tokens])
        inputs = (padded_inputs if batch.padded else sequence_inputs)(self._base, batch, tokens)
        inputs["past_key_values"] = self._prefix_cache(batch.prefix_ids)
        with nullcontext() if batch.padded else attending_as_tree(self._base.model):
            log_probability_L, greedy_L = self._log_probabilities(inputs, predicted_from, labels)
        np.add.at(self.log_likelihood_N, requests, log_probability_L)
        np.logical_and.at(self.is_greedy_N, requests, greedy_L)
        self.num_done += sum(len(row.branches) for row in batch.rows)

    def answers(self, batch: RowBatch) -> dict[int, tuple[float, bool]]:
        """What a batch that was computed says of each of its requests."""
        places = _places(batch)
        return {place: (float(self.log_likelihood_N[place]), bool(self.is_greedy_N[place])) for place in places}

    def without_known(self, batches: Sequence[RowBatch], known: Mapping[int, tuple[float, bool]]) -> list[RowBatch]:
        """Take over what is known of whole batches; those that are left."""
        left = []
        for batch in batches:
            places = _places(batch)
            if not all(place in known for place in places):
                left.append(batch)
                continue
            for place in places:
                self.log_likelihood_N[place], self.is_greedy_N[place] = known[place]
            self.num_done += len(places)
        return left

    def _prefix_cache(self, prefix_ids: Ids) -> Any:  # noqa: ANN401 - a transformers cache
        if len(prefix_ids) == 0:
            return None
        key = prefix_ids.tobytes()
        if self._prefix[0] != key:
            self._prefix = (b"", None)
            self._prefix = (key, prefix_cache(self._base, prefix_ids, whole=row_layout(self._base) == "sequence"))
        return self._prefix[1]

    def _log_probabilities(
        self, inputs: Mapping[str, Any], predicted_from: NDArray[np.int64], labels: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        base = self._base
        places, place_of = np.unique(predicted_from, return_inverse=True)
        chunk = max(1, CHUNK_LOGITS // int(base.model.get_output_embeddings().weight.shape[0]))
        log_probability_L, greedy_L = np.empty(len(labels)), np.empty(len(labels), dtype=np.bool_)
        with base.computing():
            states = self._last.at(inputs, torch.from_numpy(places).to(base.device))
            for start in range(0, len(places), chunk):
                which = np.flatnonzero((place_of >= start) & (place_of < start + chunk))
                logits = self._last.head(states[start : start + chunk])
                log_probability_L[which], greedy_L[which] = _judged(logits, place_of[which] - start, labels[which])
        return log_probability_L, greedy_L


def _places(batch: RowBatch) -> list[int]:
    return [branch.request for row in batch.rows for branch in row.branches]


def _judged(
    logits: Tensor, places: NDArray[np.int64], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Log-probability of each label at its place, and whether it is the likeliest token there."""
    logits = logits.float()
    place_L, label_L = (torch.from_numpy(array).to(logits.device) for array in (places, labels))
    chosen = logits[place_L, label_L] - logits.logsumexp(1)[place_L]
    return chosen.double().cpu().numpy(), (logits.argmax(1)[place_L] == label_L).cpu().numpy()


def _starts(tokens: Sequence[RowTokens], *, padded: bool) -> NDArray[np.int64]:
    """Place of every row's first token among the tokens of the pass."""
    lengths = np.array([len(one.ids) for one in tokens], dtype=np.int64)
    return np.arange(len(tokens)) * lengths.max() if padded else np.cumsum(lengths) - lengths

"""Forward passes over examples that several measures share, each made once."""

from collections.abc import MutableMapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sftlab.lm.base import LoadedBase
from sftlab.lm.encoding import EncodedExamples
from sftlab.lm.example_loss import summed_nats


@dataclass(frozen=True, eq=False)
class GivenNats:
    """Nats of each example, every token given all before it.

    `learned`: tokens that count in the loss; `response`: what the assistant says, without end tokens; `text`: all
    tokens but the first, the template's included.
    """

    learned: NDArray[np.float64]
    response: NDArray[np.float64]
    text: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Passes:
    """Examples under what a base holds now. What is in `known` is not computed again: it belongs to these two alone."""

    base: LoadedBase
    encoded: EncodedExamples
    max_batch_tokens: int
    known: MutableMapping[str, object] = field(default_factory=dict)

    @property
    def given(self) -> GivenNats:
        """Every token given all before it."""
        found = self.known.get("given")
        if not isinstance(found, GivenNats):
            encoded = self.encoded
            flags = (not_first(encoded), np.asarray(encoded.learned), encoded.learned & encoded.response)
            text, learned, response = summed_nats(self.base, encoded, flags, max_batch_tokens=self.max_batch_tokens)
            found = GivenNats(learned, response, text)
            self.known["given"] = found
        return found

    @property
    def alone(self) -> NDArray[np.float64]:
        """Nats of each example's responses without any prompt: the same tokens as `given.response`.

        Each response follows the beginning-of-sequence token alone, or the end-of-sequence token where there is none.
        """
        found: NDArray[np.float64] | object = self.known.get("alone")
        if not isinstance(found, np.ndarray):
            tokenizer = self.base.base_tokenizer
            start = tokenizer.bos_id if tokenizer.bos_id is not None else tokenizer.eos_id
            responses = responses_alone(self.encoded, start)
            (nats,) = summed_nats(self.base, responses, (not_first(responses),), max_batch_tokens=self.max_batch_tokens)
            found = np.zeros(len(self.encoded))
            np.add.at(found, responses.positions, nats)
            self.known["alone"] = found
        return found


def not_first(encoded: EncodedExamples) -> NDArray[np.bool_]:
    """All tokens but the first of each example, before which there is nothing."""
    flags = np.ones(len(encoded.ids), dtype=np.bool_)
    flags[encoded.offsets[:-1]] = False
    return flags


def marked_tokens(encoded: EncodedExamples, flags: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How many tokens of each example are marked."""
    counts = np.concatenate([[0], np.cumsum(flags, dtype=np.int64)])
    sums: NDArray[np.float64] = (counts[encoded.offsets[1:]] - counts[encoded.offsets[:-1]]).astype(np.float64)
    return sums


def responses_alone(encoded: EncodedExamples, start_id: int) -> EncodedExamples:
    """Every response as a text of its own behind `start_id`; `positions` are the examples that they are from."""
    is_response = np.asarray(encoded.learned & encoded.response, dtype=np.bool_)
    example_T = np.repeat(np.arange(len(encoded)), encoded.lengths)
    before = np.concatenate([[False], is_response[:-1]]) & (np.diff(example_T, prepend=-1) == 0)
    first = is_response & ~before
    places, begins = np.flatnonzero(is_response), np.flatnonzero(first)
    at = np.searchsorted(places, begins)
    ids = np.insert(encoded.ids[places], at, start_id)
    lengths = np.diff(np.append(at, len(places))) + 1
    nothing = np.zeros(len(begins), dtype=np.int64)
    return EncodedExamples(
        digest=f"{encoded.digest}-alone",
        ids=ids,
        learned=np.ones(len(ids), dtype=np.bool_),
        response=np.ones(len(ids), dtype=np.bool_),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        positions=example_T[begins],
        source_rows=encoded.source_rows[example_T[begins]],
        prompt_bytes=nothing,
        response_bytes=nothing,
        prompt_tokens=nothing,
        response_tokens=lengths - 1,
        dropped=(),
        truncated=0,
        num_given=len(begins),
    )

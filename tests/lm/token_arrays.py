"""Token arrays of any lengths and masks, without a tokenizer, and strategies that draw them."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from sftlab.lm.encoding import EncodedExamples

FIRST_WORD = 6
"""Ids below are special tokens of the tokenizers under test."""


def token_arrays(masks: Sequence[Sequence[bool]], *, vocabulary: int = 30, seed: int = 0) -> EncodedExamples:
    """One example a mask, true where a token is learned, of random ids; all that is learned is response."""
    lengths = np.array([len(mask) for mask in masks], dtype=np.int64)
    learned = np.concatenate([np.asarray(mask, dtype=np.bool_) for mask in masks])
    ids = np.random.default_rng(seed).integers(FIRST_WORD, vocabulary, len(learned)).astype(np.int32)
    counts = np.array([sum(mask) for mask in masks], dtype=np.int64)
    places = np.arange(len(masks), dtype=np.int64)
    return EncodedExamples(
        digest="made",
        ids=ids,
        learned=learned,
        response=learned,
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        positions=places,
        source_rows=places,
        prompt_bytes=lengths - counts,
        response_bytes=counts,
        prompt_tokens=lengths - counts,
        response_tokens=counts,
        dropped=(),
        truncated=0,
        num_given=len(masks),
    )


def answered(length: int, start: int) -> list[bool]:
    """The mask of a prompt of `start` tokens and its answer."""
    return [place >= start for place in range(length)]


@st.composite
def masks(draw: st.DrawFn, *, most_examples: int = 8, longest: int = 24) -> list[list[bool]]:
    """Masks of one to several examples, in which something but never the first token is learned."""
    made = []
    for _ in range(draw(st.integers(1, most_examples))):
        mask = [False, *draw(st.lists(st.booleans(), min_size=1, max_size=longest - 1))]
        mask[draw(st.integers(1, len(mask) - 1))] = True
        made.append(mask)
    return made

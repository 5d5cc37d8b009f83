"""Which examples each optimizer step sees."""

import numpy as np
from numpy.typing import NDArray

from sftlab.lm.encoding import EncodedExamples

_ORDER_TAG = 0x0D0E
_DROPOUT_TAG = 0xD209


def epoch_batches(encoded: EncodedExamples, *, batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Numbers of the examples of every optimizer step of an epoch (counted from 1); the last may be smaller.

    All examples that were given are permuted and dropped ones left out afterwards, so that bases which drop different
    examples see the others in the same order.
    """
    permutation = np.random.Generator(np.random.PCG64([_ORDER_TAG, seed, epoch])).permutation(encoded.num_given)
    number_of = np.full(encoded.num_given, -1, dtype=np.int64)
    number_of[encoded.positions] = np.arange(len(encoded))
    order = number_of[permutation]
    return _batches(order[order >= 0], batch_size)


def longest_first_batches(encoded: EncodedExamples, *, batch_size: int) -> list[NDArray[np.int64]]:
    """The same number of batches with the longest examples first: what does not fit shows in the first step."""
    return _batches(np.argsort(-encoded.lengths, kind="stable"), batch_size)


def _batches(order: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def dropout_seed(seed: int, step: int) -> int:
    """Seed of a step's dropout: of the order seed and the step alone."""
    return int(np.random.SeedSequence([_DROPOUT_TAG, seed, step]).generate_state(1, np.uint64)[0] >> 1)

"""How well held-out responses are predicted."""

import math
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from sftlab.lm.base import LoadedBase
from sftlab.lm.encoding import EncodedExamples
from sftlab.lm.example_loss import example_nats


@dataclass(frozen=True)
class HeldOutLoss:
    """Loss in nats per learned token, and bits per UTF-8 byte of the responses (without their end tokens).

    `se` is the standard error of the bits per byte over the `n` examples, None for a single one; `bits_per_byte` is
    None where no example has response text.
    """

    loss: float
    bits_per_byte: float | None
    se: float | None
    n: int
    num_tokens: int


def held_out_loss(base: LoadedBase, held_out: EncodedExamples, *, max_tokens: int) -> HeldOutLoss:
    """Predict the held-out examples with the weights as they are, in batches of `max_tokens` padded tokens.

    The model is in eval mode. Raises ModelError where one example alone does not fit into memory.
    """
    nats = example_nats(base, held_out, max_batch_tokens=max_tokens)
    bits, se = _bits_per_byte(nats.response, held_out.response_bytes)
    num_tokens = int(held_out.learned_tokens.sum())
    return HeldOutLoss(float(nats.learned.sum()) / num_tokens, bits, se, len(held_out), num_tokens)


_OF_BASE: WeakKeyDictionary[LoadedBase, dict[str, HeldOutLoss]] = WeakKeyDictionary()


def base_held_out_loss(base: LoadedBase, held_out: EncodedExamples, *, max_tokens: int) -> HeldOutLoss:
    """`held_out_loss` of the base itself, computed once for as long as the base stays in memory."""
    known = _OF_BASE.setdefault(base, {})
    if held_out.digest not in known:
        known[held_out.digest] = held_out_loss(base, held_out, max_tokens=max_tokens)
    return known[held_out.digest]


def _bits_per_byte(nats: NDArray[np.float64], num_bytes: NDArray[np.int64]) -> tuple[float | None, float | None]:
    """Ratio of totals in bits, and its standard error by linearisation (Cochran 1977, 6.4)."""
    total = int(num_bytes.sum())
    if total == 0:
        return None, None
    bits = nats / math.log(2)
    ratio = float(bits.sum()) / total
    n = len(bits)
    if n < 2:
        return ratio, None
    residuals = bits - ratio * num_bytes
    return ratio, float(math.sqrt(n / (n - 1) * np.square(residuals).sum()) / total)

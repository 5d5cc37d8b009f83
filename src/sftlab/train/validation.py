"""How well held-out responses are predicted."""

import math
from dataclasses import dataclass
from typing import Self
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from sftlab.lm.base import LoadedBase
from sftlab.lm.encoding import EncodedExamples
from sftlab.lm.memory import run_within_memory
from sftlab.lm.token_loss import padded_batch, token_batches, token_losses


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


@dataclass(frozen=True)
class _Part:
    """Some of the held-out examples, longest first."""

    numbers: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @property
    def num_tokens(self) -> int:
        return len(self.numbers) * int(self.lengths[0])

    def halves(self) -> tuple[Self, ...]:
        middle = len(self.numbers) // 2
        if middle == 0:
            return ()
        return tuple(
            type(self)(self.numbers[part], self.lengths[part]) for part in (slice(middle), slice(middle, None))
        )


def held_out_loss(base: LoadedBase, held_out: EncodedExamples, *, max_tokens: int, plain_head: bool) -> HeldOutLoss:
    """Predict the held-out examples with the weights as they are, in batches of `max_tokens` padded tokens.

    The model is in eval mode. Raises ModelError where one example alone does not fit into memory.
    """
    learned_nats = np.zeros(len(held_out))
    response_nats = np.zeros(len(held_out))

    def predict(part: _Part) -> None:
        numbers = part.numbers
        batch = padded_batch(held_out, numbers, base)
        losses = token_losses(base, batch, plain_head=plain_head).double().cpu().numpy()
        rows = batch.rows.cpu().numpy()
        in_response = np.concatenate([_response_of_learned(held_out, number) for number in numbers])
        learned_nats[numbers] = np.bincount(rows, losses, minlength=len(numbers))
        response_nats[numbers] = np.bincount(rows, losses * in_response, minlength=len(numbers))

    assert not base.model.training
    batches = token_batches(held_out.lengths, max_tokens)
    with torch.inference_mode():
        run_within_memory([_Part(numbers, held_out.lengths[numbers]) for numbers in batches], predict)
    bits, se = _bits_per_byte(response_nats, held_out.response_bytes)
    num_tokens = int(held_out.learned_tokens.sum())
    return HeldOutLoss(float(learned_nats.sum()) / num_tokens, bits, se, len(held_out), num_tokens)


_OF_BASE: WeakKeyDictionary[LoadedBase, dict[str, HeldOutLoss]] = WeakKeyDictionary()


def base_held_out_loss(
    base: LoadedBase, held_out: EncodedExamples, *, max_tokens: int, plain_head: bool
) -> HeldOutLoss:
    """`held_out_loss` of the base itself, computed once for as long as the base stays in memory."""
    known = _OF_BASE.setdefault(base, {})
    if held_out.digest not in known:
        known[held_out.digest] = held_out_loss(base, held_out, max_tokens=max_tokens, plain_head=plain_head)
    return known[held_out.digest]


def _response_of_learned(encoded: EncodedExamples, number: int) -> NDArray[np.bool_]:
    span = slice(encoded.offsets[number], encoded.offsets[number + 1])
    return encoded.response[span][encoded.learned[span]]


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

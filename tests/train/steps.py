"""One optimizer step's loss and gradients, and when two of them are the same."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
import torch

from sftlab.lm.base import LoadedBase
from sftlab.lm.encoding import EncodedExamples
from sftlab.lm.token_loss import has_plain_head
from sftlab.train.optimizer_step import GradientAccumulator


@dataclass(frozen=True)
class Step:
    """Mean loss per learned token, and the gradient of every weight."""

    loss: float
    gradients: dict[str, torch.Tensor]


def step_over(
    base: LoadedBase,
    encoded: EncodedExamples,
    numbers: np.ndarray | None = None,
    *,
    micro_tokens: int = 10_000,
    reduction: Literal["token", "sequence"] = "token",
) -> Step:
    """The step over these examples (all of them, if not said), in passes of at most `micro_tokens`."""
    weights = base.weights()
    for weight in weights.values():
        weight.requires_grad_(True).grad = None
    plain_head = has_plain_head(base)
    accumulator = GradientAccumulator(
        base, encoded, micro_tokens=micro_tokens, plain_head=plain_head, reduction=reduction
    )
    numbers = np.arange(len(encoded)) if numbers is None else numbers
    loss = float(accumulator.accumulate(numbers, list(weights.values()), step=1, seed=0))
    return Step(loss, {name: weight.grad for name, weight in weights.items()})


def assert_same_step(one: Step, other: Step, *, tolerance: float = 1e-5) -> None:
    """Losses and gradients agree, the latter as a share of the whole gradient's size."""
    assert one.loss == pytest.approx(other.loss, rel=tolerance)
    size = torch.stack([gradient.norm() for gradient in other.gradients.values()]).norm()
    assert size > 0
    for name, gradient in one.gradients.items():
        assert (gradient - other.gradients[name]).norm() <= tolerance * size, name

"""One optimizer step over micro-batches, with the loss's denominator taken over all of them."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sftlab.errors import TrainingError
from sftlab.lm.base import LoadedBase
from sftlab.lm.encoding import EncodedExamples
from sftlab.lm.memory import is_out_of_memory
from sftlab.lm.token_loss import token_batch, token_losses


class GradientAccumulator:
    """Gradients of a batch, however many passes its examples need.

    When memory runs out the pass is halved, at last activations are recomputed; the batch stays what it was.
    """

    def __init__(self, base: LoadedBase, encoded: EncodedExamples, *, micro_tokens: int, plain_head: bool) -> None:
        self.base = base
        self.encoded = encoded
        self.micro_tokens = micro_tokens
        self.checkpointing = False
        self._plain_head = plain_head
        self._has_dropout = any(
            isinstance(module, nn.Dropout) and module.p > 0 for module in base.model.modules()
        ) or any(getattr(base.model.config, name, 0.0) for name in ("attention_dropout", "attn_pdrop"))
        if base.adapter is not None:
            self._has_dropout |= any(layer.dropout > 0 for layer in base.adapter.layers.values())

    def recompute_activations(self) -> None:
        """Trade time for memory from now on."""
        self.base.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.checkpointing = True

    def accumulate(self, numbers: NDArray[np.int64], parameters: list[nn.Parameter], *, seed: int) -> Tensor:
        """Leave the batch's gradients on the parameters and return its mean loss per learned token.

        Raises TrainingError where an example alone does not fit into memory.
        """
        while True:
            try:
                with (
                    self.base.kernel.attending(self.base.model),
                    _seeded(seed, self.base.device, needed=self._has_dropout),
                ):
                    return self._passes(numbers)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._give_way(numbers, error)
            for parameter in parameters:
                parameter.grad = None
            if self.base.device.type == "cuda":
                torch.cuda.empty_cache()

    def _passes(self, numbers: NDArray[np.int64]) -> Tensor:
        learned = int(self.encoded.learned_tokens[numbers].sum())
        total = torch.zeros((), device=self.base.device)
        for group in self.base.kernel.groups(self.encoded.lengths[numbers], self.micro_tokens):
            batch = token_batch(self.encoded, numbers[group], self.base)
            loss = token_losses(self.base, batch, plain_head=self._plain_head).sum() / learned
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def _give_way(self, numbers: NDArray[np.int64], error: Exception) -> None:
        longest = int(self.encoded.lengths[numbers].max())
        if self.micro_tokens > longest:
            self.micro_tokens = max(longest, self.micro_tokens // 2)
        elif not self.checkpointing:
            self.recompute_activations()
        else:
            raise TrainingError(
                f"one example of {longest} tokens does not fit into memory beside {self.base.name}: lower `max_tokens`"
            ) from error


@contextmanager
def _seeded(seed: int, device: torch.device, *, needed: bool) -> Iterator[None]:
    if not needed:
        yield
        return
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def clip_gradients(parameters: list[nn.Parameter], max_norm: float | None) -> Tensor:
    """Scale the gradients so that their total norm is at most `max_norm`; returns the norm before."""
    return nn.utils.clip_grad_norm_(parameters, math.inf if max_norm is None else max_norm)

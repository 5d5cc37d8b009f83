"""One optimizer step over micro-batches, with the loss's denominator taken over all of them."""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sftlab.errors import TrainingError
from sftlab.lm.base import LoadedBase
from sftlab.lm.chance import draws_at_random
from sftlab.lm.compiled_layers import COMPILE_ERRORS, compiled_layers
from sftlab.lm.encoding import EncodedExamples
from sftlab.lm.kernel import Kernel
from sftlab.lm.measured_compilation import failure_in_words, prepare_compiled
from sftlab.lm.memory import free_memory, is_out_of_memory
from sftlab.lm.token_loss import token_batch, token_losses
from sftlab.train.memory_note import OutOfStepError

T = TypeVar("T")


class GradientAccumulator:
    """Gradients of a batch, however many passes its examples need.

    When memory runs out the pass is halved, then activations are recomputed, at last the longest example of the batch
    is left out, from then on and in every epoch; but for such an example, and for what dropout draws, the result stays
    what it was. `events` tells what was done, in words. Where activations are recomputed no layer is compiled.
    """

    def __init__(
        self,
        base: LoadedBase,
        encoded: EncodedExamples,
        *,
        micro_tokens: int,
        plain_head: bool,
        reduction: Literal["token", "sequence"] = "token",
    ) -> None:
        self.base = base
        self.encoded = encoded
        self.micro_tokens = micro_tokens
        self.checkpointing = False
        self.unfit: set[int] = set()
        self.events: list[str] = []
        self._plain_head = plain_head
        self._reduction = reduction
        self._is_random = draws_at_random(base.model)
        if base.adapter is not None:
            self._is_random |= any(layer.dropout > 0 for layer in base.adapter.layers.values())
        # What is dropped depends on the layout of the passes, so that the layout must not be measured on the machine.
        self.kernel = Kernel() if self._is_random else base.kernel

    def recompute_activations(self) -> None:
        """Trade time for memory from now on."""
        with _without_notice_of_new_names():
            self.base.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.checkpointing = True

    def keep_activations(self) -> None:
        """Leave the model as it was before `recompute_activations`, if that was called."""
        if self.checkpointing:
            with _without_notice_of_new_names():
                self.base.model.gradient_checkpointing_disable()

    def fitting(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The examples of a batch without those that were left out."""
        return numbers[~np.isin(numbers, list(self.unfit))] if self.unfit else numbers

    def accumulate(
        self, numbers: NDArray[np.int64], parameters: list[nn.Parameter], *, step: int, seed: int
    ) -> Tensor | None:
        """Leave the batch's gradients on the parameters and return its mean loss, None where no example of it fits.

        The mean is over learned tokens, or over examples of their own means, as the reduction says. Every rank that
        shares the base is given the whole batch and takes its share of it. Raises TrainingError where no example at all
        fits into memory, and of several ranks OutOfStepError where less has to be tried at a time.
        """
        while len(fitting := self.fitting(numbers)) > 0:
            try:
                with (
                    self.kernel.attending(self.base.model),
                    compiled_layers(self.base.model) if self._is_compiled else nullcontext(),
                    _seeded(seed + self.base.ranks.index, self.base.device, needed=self._is_random),
                ):
                    loss = self._passes(fitting)
                    self.base.ranks.join_gradients(parameters)
                    return self.base.ranks.total(loss)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._give_way(fitting, step)
                if self.base.ranks.count > 1:
                    raise OutOfStepError from error
            for parameter in parameters:
                parameter.grad = None
            free_memory()
        if len(self.unfit) == len(self.encoded):
            shortest = int(self.encoded.lengths.min())
            raise TrainingError(
                f"no example fits into memory beside {self.base.name}, not even one of {shortest} tokens: "
                "take a smaller base, or lora"
            )
        return None

    @property
    def _is_compiled(self) -> bool:
        return self.kernel.compiled and not self.checkpointing

    def prepare(self) -> None:
        """Have compiled layers ready, on a model whose weights ask for gradients; where that fails, do without them."""
        if not self._is_compiled:
            return
        self.base.model.train()
        try:
            prepare_compiled(self.base, self.kernel)
        except COMPILE_ERRORS as error:
            self.kernel = replace(self.kernel, compiled=False)
            self.events.append(f"layers not compiled: {failure_in_words(error)}")
        finally:
            self.base.model.eval()

    def _passes(self, numbers: NDArray[np.int64]) -> Tensor:
        learned = self.encoded.learned_tokens[numbers]
        share = 1 / (len(numbers) * learned) if self._reduction == "sequence" else None
        total = torch.zeros((), device=self.base.device)
        lengths = self.encoded.lengths[numbers]
        for one in self.base.ranks.passes(lengths, lambda some: self.kernel.groups(some, self.micro_tokens)):
            batch = token_batch(self.encoded, numbers[one.places], self.base, self.kernel)
            losses = token_losses(self.base, batch, plain_head=self._plain_head)
            if share is None:
                loss = losses.sum() / int(learned.sum())
            else:
                weights = torch.from_numpy(share[one.places].astype(np.float32)).to(self.base.device, non_blocking=True)
                loss = (losses * weights[batch.examples]).sum()
            loss = loss if one.counts else loss * 0.0
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def halve_passes(self, longest: int, step: int) -> bool:
        """Compute fewer tokens at a time from now on; False where a pass holds a single example of `longest` tokens."""
        if self.micro_tokens <= longest:
            return False
        self.micro_tokens = max(longest, self.micro_tokens // 2)
        self.events.append(f"passes of at most {self.micro_tokens} tokens from step {step}")
        return True

    def _give_way(self, numbers: NDArray[np.int64], step: int) -> None:
        longest = int(self.encoded.lengths[numbers].max())
        if self.halve_passes(longest, step):
            return
        if not self.checkpointing:
            self.recompute_activations()
            self.events.append(f"activations recomputed from step {step}")
        else:
            unfit = int(numbers[self.encoded.lengths[numbers].argmax()])
            self.unfit.add(unfit)
            row = int(self.encoded.source_rows[unfit])
            self.events.append(f"row {row} of {longest} tokens left out from step {step}: it does not fit alone")


def with_memory_freed(work: Callable[[], T]) -> T:
    """Do a piece of work that cannot be parted; where memory runs out, once more with all that is unused let go."""
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    free_memory()
    return work()


@contextmanager
def _without_notice_of_new_names() -> Iterator[None]:
    """Quiet transformers 5's notices of names that its first versions do not have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


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

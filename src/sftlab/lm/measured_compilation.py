"""Whether compiling a base's layers repays itself: tried once on this machine where it might, and kept on disk."""

import json
import os
import statistics
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from sftlab.lm.base import LoadedBase
from sftlab.lm.compiled_layers import (
    COMPILE_ERRORS,
    compiled_layers,
    forget_compiled,
    keep_compiled,
    model_layers,
)
from sftlab.lm.kernel import Kernel
from sftlab.lm.measured_kernel import (
    AGREEMENT,
    LARGE,
    alone_with,
    kernel_cache,
    measurement_name,
    model_name,
    pass_seconds,
    precision_name,
    seconds_per_token,
    trial_batch,
    write_measurement,
)
from sftlab.lm.token_loss import TokenBatch, has_plain_head, token_losses

FOLDER = "compilations"
CODE = "compiled"
TRIAL_SECONDS = 600.0
"""Processor time of training from which a trial, of half a minute to minutes, is worth its cost."""
REPAID = 2.0
"""What is saved must be so many times what reading the compiled code takes each process."""
TRACED = ((7, 61), (1, 61))
"""Rows and tokens of the batches that are traced: primes, which no width of a model is a multiple of."""
ROUNDS = 5


@dataclass(frozen=True)
class Compilation:
    """What compiling gave: plain over compiled processor time of a pass of 8 x 128 tokens, and what it cost.

    Processor seconds of compiling for the first time, and of taking the code from disk, as every later process does.
    Where it fails or gives other losses `failure` says so, and the numbers are None.
    """

    model: str
    machine: str
    precision: str
    speedup: float | None
    first_seconds: float | None
    warm_seconds: float | None
    failure: str | None

    def repays(self, training_seconds: float) -> bool:
        """Whether it saves clearly more than it costs a process that trains for so long without it."""
        if self.speedup is None or self.warm_seconds is None:
            return False
        return training_seconds * (1 - 1 / self.speedup) >= REPAID * self.warm_seconds


def with_layers_compiled(base: LoadedBase, *, tokens: float, machine: str, cache: Path) -> Kernel:
    """The base's kernel, with compiled layers where that is repaid by training on so many tokens in one process.

    All weights are to be trained. Tried, if never before, only where training takes `TRIAL_SECONDS`; where nothing can
    be kept on disk, not at all.
    """
    each = seconds_per_token(base, machine=machine, cache=cache)
    if each is None or not model_layers(base.model):
        return base.kernel
    seconds = tokens * each
    file = cache / FOLDER / measurement_name(base, machine)
    with alone_with(file):
        known = _read(file)
        if known is None and seconds >= TRIAL_SECONDS:
            known = _trial(base, machine)
            write_measurement(file, known)
    return replace(base.kernel, compiled=known is not None and known.repays(seconds))


def compilations(cache: Path) -> list[Compilation]:
    """All that was ever tried here."""
    found = (_read(file) for file in sorted((cache / FOLDER).glob("*.json")))
    return [one for one in found if one is not None]


def prepare_compiled(base: LoadedBase, kernel: Kernel) -> None:
    """Compile for this process, or read from disk, what the trained weights need; leaves no gradients.

    Every process does this before its first step, so that what is compiled is the same whatever batches come first.
    Raises one of `COMPILE_ERRORS` where that cannot be.
    """
    keep_compiled(kernel_cache() / CODE)
    # Found by trying the model, which is not to be traced.
    has_plain_head(base)
    for shape in TRACED:
        with compiled_layers(base.model, traces=True):
            pass_seconds(base, kernel, trial_batch(base, *shape))
    _drop_gradients(base)


def _trial(base: LoadedBase, machine: str) -> Compilation:
    about = (model_name(base), machine, precision_name(base))
    base.reset()
    base.model.train().requires_grad_(True)
    try:
        first = _processor_seconds(lambda: prepare_compiled(base, base.kernel))
        batch = trial_batch(base, *LARGE)
        if not _agree(base, batch):
            return Compilation(*about, None, None, None, "its losses or gradients are not those of the model")
        forget_compiled()
        warm = _processor_seconds(lambda: prepare_compiled(base, base.kernel))
        return Compilation(*about, _speedup(base, batch), first, warm, None)
    except COMPILE_ERRORS as error:
        return Compilation(*about, None, None, None, failure_in_words(error))
    finally:
        base.model.eval().requires_grad_(False)
        _drop_gradients(base)


def failure_in_words(error: Exception) -> str:
    """The first line of what a compiler says, or the kind of its error."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}"[:200] if lines else type(error).__name__


def _speedup(base: LoadedBase, batch: TokenBatch) -> float:
    plain, compiled = [], []
    for _ in range(ROUNDS + 1):
        plain.append(pass_seconds(base, base.kernel, batch))
        with compiled_layers(base.model):
            compiled.append(pass_seconds(base, base.kernel, batch))
    # The first round warms up.
    return statistics.median(plain[1:]) / statistics.median(compiled[1:])


def _agree(base: LoadedBase, batch: TokenBatch) -> bool:
    """Whether losses and gradients are those of the layers as they are, within the bound of all kernels."""
    bound = AGREEMENT["bfloat16" if base.precision.compute == "bfloat16" else "float32"]
    plain, own = _losses_and_gradients(base, batch, compiled=False)
    losses, gradients = _losses_and_gradients(base, batch, compiled=True)
    same = bool((losses - plain).abs().max() <= bound * plain.abs().max())
    return same and bool((gradients - own).norm() <= bound * own.norm())


def _losses_and_gradients(base: LoadedBase, batch: TokenBatch, *, compiled: bool) -> tuple[Tensor, Tensor]:
    _drop_gradients(base)
    with base.kernel.attending(base.model), compiled_layers(base.model) if compiled else nullcontext():
        losses = token_losses(base, batch, plain_head=has_plain_head(base))
        losses.mean().backward()  # type: ignore[no-untyped-call]
    given = [weight.grad.flatten() for weight in base.weights().values() if weight.grad is not None]
    return losses.detach(), torch.cat(given).float()


def _drop_gradients(base: LoadedBase) -> None:
    for weight in base.weights().values():
        weight.grad = None


def _processor_seconds(work: Callable[[], None]) -> float:
    """Of this process and of those that it started, as a compiler is."""
    before = os.times()
    work()
    return sum(os.times()[:4]) - sum(before[:4])


def _read(file: Path) -> Compilation | None:
    try:
        return Compilation(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None

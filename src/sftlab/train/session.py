"""The training loop of one run, and all that it carries from epoch to epoch."""

import resource
import time
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sftlab.errors import ModelError, TrainingError
from sftlab.lm.base import LoadedBase
from sftlab.lm.kernel import Kernel
from sftlab.lm.memory import is_out_of_memory
from sftlab.lm.templates import resolve_template
from sftlab.lm.token_loss import has_plain_head
from sftlab.measure.weight_change import loaded_weight_change
from sftlab.study.identity import digest
from sftlab.study.run import RunSpec
from sftlab.train.checkpoint import write_checkpoint
from sftlab.train.inputs import Progress, RunData, RunFiles, TrainControl
from sftlab.train.masters import place_masters
from sftlab.train.memory_note import OutOfStepError, take_memory_note, write_memory_note
from sftlab.train.optimizer import make_optimizer
from sftlab.train.optimizer_step import GradientAccumulator, clip_gradients, with_memory_freed
from sftlab.train.order import dropout_seed, epoch_batches, longest_first_batches
from sftlab.train.schedule import LearningRate
from sftlab.train.state import Log, read_state, restore, state_tensors, write_state
from sftlab.train.trainable import make_trainable
from sftlab.train.validation import base_held_out_loss, held_out_loss

READ_EVERY = 16
"""Steps between two looks at a GPU's losses: each look waits for the device."""

KEEP_SHARE = 0.05
"""Share of a run's time that keeping its state inside epochs may take."""


class Session:
    """A run in progress on a base in memory, which it resets first."""

    def __init__(
        self, base: LoadedBase, spec: RunSpec, data: RunData, *, files: RunFiles, control: TrainControl
    ) -> None:
        assert spec.precision == base.precision, "the base was loaded for another precision"
        assert spec.method.quantisation == base.quantisation, "the base was loaded for another quantisation"
        base.reset()
        base.holding = f"{spec.run} in training"
        self.base = base
        self.spec = spec
        self.data = data
        self.files = files
        self.control = control
        self.log = Log(micro_tokens=control.max_micro_tokens)
        self._plain_head = has_plain_head(base)
        self._masters = place_masters(base, make_trainable(base, spec).parameters, spec.method)
        self._parameters = list(self._masters.parameters.values())
        self._optimizer = make_optimizer(self._masters.parameters, spec)
        self._steps_per_epoch = -(-len(data.train) // spec.batch_size)
        self.steps = spec.steps or spec.epochs * self._steps_per_epoch
        self._rate = LearningRate(
            spec.learning_rate, spec.schedule, spec.warmup_steps, self.steps, decay_steps=spec.decay_steps
        )
        self._accumulator = GradientAccumulator(
            base,
            data.train,
            micro_tokens=control.max_micro_tokens,
            plain_head=self._plain_head,
            reduction=spec.method.reduction,
        )
        if spec.method.gradient_checkpointing:
            self._accumulator.recompute_activations()
        self._counted_at = self._kept_at = time.perf_counter()
        self._keeping_seconds = 0.0
        self._unread: list[tuple[dict[str, Any], torch.Tensor, torch.Tensor]] = []
        self._key = digest(
            {
                "recipe": spec.recipe,
                "train": data.train.digest,
                "held_out": data.held_out.digest,
                "max_steps": control.max_steps,
            }
        )

    def run(self) -> Log:
        """Go on from the last state that was kept, if there is one; at the end the base holds the tuned weights.

        Raises OutOfStepError where several ranks share the base and this one ran out of memory.
        """
        self._resume()
        try:
            if not self.log.validation and len(self.data.held_out) > 0:
                self._validate(0)
            while not self._is_done():
                self._epoch(self.log.epoch + 1)
        except OutOfStepError:
            self._log_accumulator()
            write_memory_note(self.files.working, self._key, self.log)
            raise
        self.base.holding = f"{self.spec.run} after epoch {self.log.epoch}"
        return self.log

    def _is_done(self) -> bool:
        limit = min(self.steps, self.control.max_steps or self.steps)
        return self.log.step >= limit

    def _resume(self) -> None:
        state = read_state(self.files.working, self._key)
        if state is not None:
            restore(state, self._masters.parameters, self._optimizer, ranks=self.base.ranks)
            self._masters.send()
            self.log = state.log
        take_memory_note(self.files.working, self._key, self.log)
        self._accumulator.micro_tokens = self.log.micro_tokens
        self._accumulator.events = self.log.events
        self._accumulator.unfit = set(self.log.unfit)
        if self.log.checkpointing and not self._accumulator.checkpointing:
            self._accumulator.recompute_activations()
        if self._is_alone_on_cpu and self.log.kernel is not None:
            self._accumulator.kernel = Kernel(**self.log.kernel)
        self._accumulator.prepare()

    @property
    def _is_alone_on_cpu(self) -> bool:
        return self.base.device.type == "cpu" and self.base.ranks.count == 1

    @property
    def kernel(self) -> Kernel:
        """How passes are computed; killed and started again on one CPU, a run goes on with what it had."""
        return self._accumulator.kernel

    def _epoch(self, epoch: int) -> None:
        self.base.model.train()
        done_before = self.log.step - (epoch - 1) * self._steps_per_epoch
        for numbers in self._batches(epoch)[done_before:]:
            if self._is_done():
                break
            if self._is_time_to_keep():
                self._keep()
            self._step(epoch, numbers)
        self._read_losses()
        self.base.model.eval()
        if self._is_done():
            # Where examples were dropped, as many steps take more epochs than were foreseen.
            self.log.epoch = self.spec.epochs if self.control.max_steps is None else epoch
        else:
            self.log.epoch = epoch
        if self._is_done() or epoch < self.spec.epochs:
            self._measure()
            self._count_seconds()
            self.log.seconds_by_epoch.append(self.log.wall_seconds)
        self._keep()

    def _is_time_to_keep(self) -> bool:
        since = time.perf_counter() - self._kept_at
        is_time = since >= self.control.keep_seconds and since * KEEP_SHARE >= self._keeping_seconds
        return self.base.ranks.agreed(is_time)

    def _keep(self) -> None:
        """Write down all that is needed to go on from here."""
        started = time.perf_counter()
        self._read_losses()
        self._count_seconds()
        peak = self.base.ranks.most(_peak_memory_bytes(self.base.device))
        self.log.peak_memory_bytes = max(self.log.peak_memory_bytes, peak)
        self._log_accumulator()
        optimizer = None if self._is_done() else self._optimizer
        tensors = state_tensors(self._masters.parameters, optimizer, ranks=self.base.ranks)
        if self.base.ranks.is_first:
            write_state(self.files.working, self._key, self.log, tensors)
        self._kept_at = time.perf_counter()
        self._keeping_seconds = self._kept_at - started

    def _log_accumulator(self) -> None:
        self.log.micro_tokens = self._accumulator.micro_tokens
        self.log.checkpointing = self._accumulator.checkpointing
        self.log.kernel = asdict(self.kernel) if self._is_alone_on_cpu else None
        self.log.events = self._accumulator.events
        self.log.unfit = sorted(self._accumulator.unfit)

    def _count_seconds(self) -> None:
        now = time.perf_counter()
        self.log.wall_seconds += now - self._counted_at
        self._counted_at = now

    def _batches(self, epoch: int) -> list[NDArray[np.int64]]:
        size = self.spec.batch_size
        if self.control.max_steps is not None:
            return longest_first_batches(self.data.train, batch_size=size)
        return epoch_batches(self.data.train, batch_size=size, seed=self.spec.seeds.order, epoch=epoch)

    def _step(self, epoch: int, numbers: NDArray[np.int64]) -> None:
        self.log.step += 1
        step = self.log.step
        rate = self._rate.at(step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        seed = dropout_seed(self.spec.seeds.order, step)
        loss = self._accumulator.accumulate(numbers, self._masters.with_gradients, step=step, seed=seed)
        if loss is None:
            return
        numbers = self._accumulator.fitting(numbers)
        # transformers' Trainer, too, clips the gradient of the whole step, once.
        norm = self.base.ranks.whole(clip_gradients(self._parameters, self.spec.method.max_grad_norm))
        with_memory_freed(self._optimizer.step)
        self._optimizer.zero_grad(set_to_none=True)
        self._masters.send()
        tokens = int(self.data.train.lengths[numbers].sum())
        learned = int(self.data.train.learned_tokens[numbers].sum())
        row = {"step": step, "epoch": epoch, "learning_rate": rate, "tokens": tokens, "learned_tokens": learned}
        self._unread.append((row, loss, norm))
        if self.base.device.type == "cpu" or len(self._unread) == READ_EVERY:
            self._read_losses()
        last = self.log.losses[-1]["loss"] if self.log.losses else None
        self.control.on_progress(Progress(epoch, self.spec.epochs, step, self.steps, last, tokens))

    def _read_losses(self) -> None:
        for row, loss, norm in self._unread:
            values = {"loss": float(loss), "grad_norm": float(norm)}
            if not np.isfinite(list(values.values())).all():
                raise TrainingError(
                    f"the loss of {self.spec.run} is not finite at step {row['step']} "
                    f"(loss {values['loss']}, gradient norm {values['grad_norm']}): lower the learning rate"
                )
            self.log.losses.append({**row, **values})
        self._unread.clear()

    def _measure(self) -> None:
        epoch = self.log.epoch
        if len(self.data.held_out) > 0:
            self._validate(epoch)
        change = with_memory_freed(lambda: loaded_weight_change(self.base))
        self.log.layers.extend({"epoch": epoch, **row} for row in change.iter_rows(named=True))
        target = self.files.checkpoint(epoch)
        if target is not None:
            template = resolve_template(self.spec.template, self.base.tokenizer)
            self.log.checkpoints.append({"epoch": epoch, "num_bytes": write_checkpoint(self.base, template, target)})

    def _validate(self, epoch: int) -> None:
        held_out, max_tokens = self.data.held_out, self._accumulator.micro_tokens
        predict = base_held_out_loss if epoch == 0 else held_out_loss
        try:
            found = predict(self.base, held_out, max_tokens=max_tokens)
        except (RuntimeError, MemoryError) as error:
            if self.base.ranks.count == 1 or not is_out_of_memory(error):
                raise
            longest = int(held_out.lengths.max())
            if not self._accumulator.halve_passes(longest, self.log.step + 1):
                raise ModelError(
                    f"out of memory with a single held-out example of {longest} tokens: use devices with more memory, "
                    "or more of them"
                ) from error
            raise OutOfStepError from error
        row = {"epoch": epoch, "loss": found.loss, "bits_per_byte": found.bits_per_byte, "se": found.se}
        self.log.validation.append({**row, "n": found.n, "num_tokens": found.num_tokens})

    def release(self) -> None:
        """Leave the base ready for use: an adapter merged into weights that are not quantised, no gradients asked for.

        A base that several ranks share holds the base's own weights again.
        """
        self._masters.release()
        if self.base.ranks.count > 1:
            self.base.reset()
        else:
            self.base.settle_adapter()
        self.base.model.eval().requires_grad_(False)
        self._accumulator.keep_activations()


def _peak_memory_bytes(device: torch.device) -> int:
    """Most memory held so far: on a GPU by this run's tensors, on a CPU by the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

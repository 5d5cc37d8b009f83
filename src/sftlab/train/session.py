"""The training loop of one run, and all that it carries from epoch to epoch."""

import resource
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sftlab.errors import TrainingError
from sftlab.lm.base import LoadedBase
from sftlab.lm.templates import resolve_template
from sftlab.lm.token_loss import has_plain_head
from sftlab.measure.weight_change import loaded_weight_change
from sftlab.study.identity import digest
from sftlab.study.run import RunSpec
from sftlab.train.checkpoint import write_checkpoint
from sftlab.train.inputs import Progress, RunData, RunFiles, TrainControl
from sftlab.train.optimizer_step import GradientAccumulator, clip_gradients
from sftlab.train.order import dropout_seed, epoch_batches, longest_first_batches
from sftlab.train.schedule import LearningRate
from sftlab.train.state import Log, read_state, restore, write_state
from sftlab.train.trainable import make_trainable
from sftlab.train.validation import HeldOutLoss, base_held_out_loss, held_out_loss

READ_EVERY = 16
"""Steps between two looks at a GPU's losses: each look waits for the device."""


class Session:
    """A run in progress on a base in memory, which it resets first."""

    def __init__(
        self, base: LoadedBase, spec: RunSpec, data: RunData, *, files: RunFiles, control: TrainControl
    ) -> None:
        assert spec.precision == base.precision, "the base was loaded for another precision"
        base.reset()
        base.holding = f"{spec.run} in training"
        self.base = base
        self.spec = spec
        self.data = data
        self.files = files
        self.control = control
        self.log = Log(micro_tokens=control.max_micro_tokens)
        self._plain_head = has_plain_head(base)
        self._trainable = make_trainable(base, spec)
        self._parameters = list(self._trainable.parameters.values())
        method = spec.method
        self._optimizer = torch.optim.AdamW(
            self._parameters,
            lr=spec.learning_rate,
            betas=method.betas,
            eps=method.epsilon,
            weight_decay=method.weight_decay,
            fused=True,
        )
        self._steps_per_epoch = -(-len(data.train) // method.batch_size)
        self.steps = spec.epochs * self._steps_per_epoch
        self._rate = LearningRate(spec.learning_rate, spec.schedule, spec.warmup_steps, self.steps)
        self._accumulator = GradientAccumulator(
            base, data.train, micro_tokens=control.max_micro_tokens, plain_head=self._plain_head
        )
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
        """Go on from the last whole epoch, if there is one, to the end; the base then holds the tuned weights."""
        self._resume()
        if self.log.epoch == 0 and len(self.data.held_out) > 0:
            loss = base_held_out_loss(self.base, self.data.held_out, max_tokens=self.control.max_micro_tokens)
            self._log_validation(0, loss)
        while not self._is_done():
            self._epoch(self.log.epoch + 1)
        self.base.holding = f"{self.spec.run} after epoch {self.log.epoch}"
        return self.log

    def _is_done(self) -> bool:
        limit = self.control.max_steps
        return self.log.epoch == self.spec.epochs or (limit is not None and self.log.step >= limit)

    def _resume(self) -> None:
        state = read_state(self.files.working, self._key)
        if state is None:
            return
        restore(state, self._trainable.parameters, self._optimizer)
        self.log = state.log
        self._accumulator.micro_tokens = state.log.micro_tokens
        if state.log.checkpointing:
            self._accumulator.recompute_activations()

    def _epoch(self, epoch: int) -> None:
        started = time.perf_counter()
        self.base.model.train()
        for numbers in self._batches(epoch):
            if self.control.max_steps is not None and self.log.step >= self.control.max_steps:
                break
            self._step(epoch, numbers)
        self._read_losses()
        self.base.model.eval()
        self.log.epoch = epoch
        self._measure()
        self.log.wall_seconds += time.perf_counter() - started
        self.log.seconds_by_epoch.append(self.log.wall_seconds)
        self.log.peak_memory_bytes = max(self.log.peak_memory_bytes, _peak_memory_bytes(self.base.device))
        self.log.micro_tokens = self._accumulator.micro_tokens
        self.log.checkpointing = self._accumulator.checkpointing
        optimizer = None if self._is_done() else self._optimizer
        write_state(self.files.working, self._key, self.log, self._trainable.parameters, optimizer)

    def _batches(self, epoch: int) -> list[NDArray[np.int64]]:
        size = self.spec.method.batch_size
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
        loss = self._accumulator.accumulate(numbers, self._parameters, seed=seed)
        # transformers' Trainer, too, clips the gradient of the whole step, once.
        norm = clip_gradients(self._parameters, self.spec.method.max_grad_norm)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
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
            loss = held_out_loss(self.base, self.data.held_out, max_tokens=self._accumulator.micro_tokens)
            self._log_validation(epoch, loss)
        self.log.layers.extend({"epoch": epoch, **row} for row in loaded_weight_change(self.base).iter_rows(named=True))
        target = self.files.checkpoint(epoch)
        if target is not None:
            template = resolve_template(self.spec.template, self.base.tokenizer)
            self.log.checkpoints.append({"epoch": epoch, "num_bytes": write_checkpoint(self.base, template, target)})

    def _log_validation(self, epoch: int, found: HeldOutLoss) -> None:
        row = {"epoch": epoch, "loss": found.loss, "bits_per_byte": found.bits_per_byte, "se": found.se}
        self.log.validation.append({**row, "n": found.n, "num_tokens": found.num_tokens})

    def release(self) -> None:
        """Leave the base ready for use: an adapter merged into the weights, no gradients asked for."""
        if self.base.adapter is not None:
            self.base.adapter.merge()
            self.base.adapter = None
        self.base.model.eval().requires_grad_(False)
        if self._accumulator.checkpointing:
            self.base.model.gradient_checkpointing_disable()


def _peak_memory_bytes(device: torch.device) -> int:
    """Most memory held so far: on a GPU by this run's tensors, on a CPU by the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

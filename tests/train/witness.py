"""A run by TRL's SFTTrainer on our ids, in our order: masking, batching, loss, schedule and optimizer are TRL's."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import torch
from torch.utils.data import Sampler

from sftlab.lm.base import LoadedBase
from sftlab.lm.encoding import EncodedExamples
from sftlab.study.run import RunSpec
from sftlab.train.order import epoch_batches

SCHEDULES = {
    "constant": "constant_with_warmup",
    "cosine": "cosine",
    "linear": "linear",
    "wsd": "warmup_stable_decay",
}


@dataclass(frozen=True)
class WitnessedSteps:
    """Of every optimizer step: its loss, the norm of its gradient before clipping, its learning rate."""

    losses: list[float]
    grad_norms: list[float]
    rates: list[float]


@dataclass(frozen=True)
class TrlOptions:
    """Passes of an optimizer step, the name of the mask of learned tokens (None: all are), bf16 compute or float32.

    TRL may write to `folder`.
    """

    folder: Path
    accumulation: int = 1
    mask: str | None = "completion_mask"
    bf16: bool = False


class EpochOrders(Sampler):
    """A given order of the examples for every epoch, in turn."""

    def __init__(self, orders: list[list[int]]) -> None:
        self.orders = orders
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.orders[0])

    def __iter__(self):
        self.epoch += 1
        return iter(self.orders[self.epoch - 1])


def masked_rows(encoded: EncodedExamples, mask: str | None) -> datasets.Dataset:
    """Examples as TRL takes them when they are tokenised already: ids, and a mask of 1 where a token is learned."""
    rows = []
    for start, end in zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True):
        learned = {} if mask is None else {mask: encoded.learned[start:end].astype(int).tolist()}
        rows.append({"input_ids": encoded.ids[start:end].tolist(), **learned})
    return datasets.Dataset.from_list(rows)


def trl_run(
    base: LoadedBase, model: torch.nn.Module, encoded: EncodedExamples, run: RunSpec, options: TrlOptions
) -> WitnessedSteps:
    """Train `model` in place, in passes of batch_size / accumulation examples, and return what every step was."""
    import trl

    orders = [
        np.concatenate(epoch_batches(encoded, batch_size=run.batch_size, seed=run.seeds.order, epoch=epoch)).tolist()
        for epoch in range(1, run.epochs + 1)
    ]

    class InOrder(trl.SFTTrainer):
        def _get_train_sampler(self, *_):
            return EpochOrders(orders)

        def training_step(self, *args, **kwargs):
            loss = super().training_step(*args, **kwargs)
            parts[self.state.global_step].append(float(loss))
            return loss

    parts: dict[int, list[float]] = defaultdict(list)
    arguments = trl.SFTConfig(
        output_dir=str(options.folder),
        use_cpu=True,
        bf16=options.bf16,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
        logging_steps=1,
        num_train_epochs=run.epochs,
        per_device_train_batch_size=run.batch_size // options.accumulation,
        gradient_accumulation_steps=options.accumulation,
        learning_rate=run.learning_rate,
        lr_scheduler_type=SCHEDULES[run.schedule],
        lr_scheduler_kwargs={"num_decay_steps": run.decay_steps, "decay_type": "linear"} if run.decay_steps else None,
        warmup_steps=run.warmup_steps,
        weight_decay=run.method.weight_decay,
        adam_beta1=run.method.betas[0],
        adam_beta2=run.method.betas[1],
        adam_epsilon=run.method.epsilon,
        max_grad_norm=run.method.max_grad_norm,
        **({"optim": "adamw_bnb_8bit"} if run.method.optimizer == "adamw_8bit" else {}),
        loss_type="nll",
        completion_only_loss=options.mask is not None,
        gradient_checkpointing=False,
        max_length=None,
    )
    trainer = InOrder(
        model=model, args=arguments, train_dataset=masked_rows(encoded, options.mask), processing_class=base.tokenizer
    )
    trainer.train()
    logged = [row for row in trainer.state.log_history if "grad_norm" in row]
    assert len(logged) == len(parts) == trainer.state.global_step
    return WitnessedSteps(
        losses=[sum(parts[step]) for step in sorted(parts)],
        grad_norms=[row["grad_norm"] for row in logged],
        rates=[row["learning_rate"] for row in logged],
    )

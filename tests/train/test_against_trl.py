"""Losses of every step and the final weights against TRL's SFTTrainer on the same ids in the same order."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sftlab.lm.adapters import inject_lora
from sftlab.train.order import epoch_batches
from tests.lm.models import MODELS, load
from tests.train.runs import LORA, data, spec, train

STEPS = 12


def _rows_in_order(given, run) -> list[dict[str, list[int]]]:
    rows = []
    for epoch in range(1, run.epochs + 1):
        batches = epoch_batches(given, batch_size=run.method.batch_size, seed=run.seeds.order, epoch=epoch)
        for number in np.concatenate(batches):
            span = slice(given.offsets[number], given.offsets[number + 1])
            ids = given.ids[span].tolist()
            labels = [token if learned else -100 for token, learned in zip(ids, given.learned[span], strict=True)]
            rows.append({"input_ids": ids, "labels": labels})
    return rows


def _trl_losses(base, model, given, run, folder: Path) -> list[float]:
    import datasets
    import trl
    from torch.utils.data import SequentialSampler

    class Recorded(trl.SFTTrainer):
        parts: list[float]

        def _get_train_sampler(self, dataset=None):
            return SequentialSampler(dataset if dataset is not None else self.train_dataset)

        def training_step(self, *args, **kwargs):
            loss = super().training_step(*args, **kwargs)
            self.parts.append(float(loss))
            return loss

    accumulation = 2
    base.tokenizer.pad_token = base.tokenizer.eos_token
    schedule = {"constant": "constant_with_warmup"}.get(run.schedule, run.schedule)
    arguments = trl.SFTConfig(
        output_dir=str(folder), use_cpu=True, bf16=False, report_to="none", save_strategy="no", logging_steps=1,
        num_train_epochs=1, per_device_train_batch_size=run.method.batch_size // accumulation,
        gradient_accumulation_steps=accumulation, learning_rate=run.learning_rate, lr_scheduler_type=schedule,
        warmup_steps=run.warmup_steps, weight_decay=0.0, max_grad_norm=run.method.max_grad_norm, loss_type="nll",
        gradient_checkpointing=False, max_length=None, dataset_kwargs={"skip_prepare_dataset": True}, disable_tqdm=True,
    )  # fmt: skip
    trainer = Recorded(
        model=model,
        args=arguments,
        train_dataset=datasets.Dataset.from_list(_rows_in_order(given, run)),
        processing_class=base.tokenizer,
    )
    trainer.parts = []
    trainer.train()
    return [sum(trainer.parts[step : step + accumulation]) for step in range(0, len(trainer.parts), accumulation)]


@pytest.mark.parametrize(("kind", "schedule"), [("llama", "cosine"), ("gpt2", "linear"), ("neox", "constant")])
def test_full_run_equals_trl(kind, schedule, bases, tmp_path):
    base = load(bases, kind)
    given = data(base, tmp_path)
    run = spec(schedule=schedule)
    ours = train(base, run, given, tmp_path, max_micro_tokens=100)
    reference = load(bases, kind)
    reference.model.requires_grad_(True)
    theirs = _trl_losses(reference, reference.model, given.train, run, tmp_path)
    assert ours.rows["losses"]["loss"].to_list() == pytest.approx(theirs, rel=1e-4)
    assert len(theirs) == STEPS
    for name, weight in base.weights().items():
        assert torch.allclose(weight, reference.weights()[name], atol=1e-5), name


@pytest.mark.parametrize("kind", MODELS)
def test_lora_run_equals_trl_with_peft(kind, bases, tmp_path):
    import peft

    base = load(bases, kind)
    given = data(base, tmp_path)
    run = spec(method=LORA)
    start = inject_lora(base.model, LORA, seed=run.seeds.init, base_model="tiny")
    (tmp_path / "start").mkdir()
    start.save(tmp_path / "start")
    start.unload()
    ours = train(base, run, given, tmp_path)
    reference = load(bases, kind)
    model = peft.PeftModel.from_pretrained(reference.model, tmp_path / "start", is_trainable=True)
    theirs = _trl_losses(reference, model, given.train, run, tmp_path)
    assert ours.rows["losses"]["loss"].to_list() == pytest.approx(theirs, rel=1e-4)
    merged = model.merge_and_unload()
    for name, weight in merged.named_parameters():
        assert torch.allclose(base.weights()[name], weight, atol=1e-5), name
    assert ours.result["loss_last"] < ours.result["loss_first"]

"""The same training done three ways: a plain transformers loop, TRL's SFTTrainer, and sftlab."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import llama_shapes
import numpy as np
import torch
from clock import Instant, Span
from torch import Tensor, nn

if TYPE_CHECKING:
    from sftlab.lm.encoding import EncodedExamples
    from sftlab.study.run import RunSpec

Compute = Literal["float32", "bfloat16"]
RATE = {"full": 1e-3, "lora": 5e-3}
RANK, ALPHA = 8, 16
MAX_GRAD_NORM = 1.0


@dataclass(frozen=True)
class Pass:
    """One training from the base on: the loss and the moment of the end of every step, and when it was begun.

    `how` is what was chosen on this machine, in words.
    """

    losses: tuple[float, ...]
    begun: Instant
    ends: tuple[Instant, ...]
    how: str = ""

    @property
    def whole(self) -> Span:
        """From the call to the end of the last step."""
        return Span.between(self.begun, self.ends[-1])

    @property
    def steady(self) -> Span:
        """From the end of the first step to the end of the last."""
        return Span.between(self.ends[0], self.ends[-1])


@dataclass(frozen=True)
class Work:
    """What is to be trained: a model by name, one epoch of these examples in this order, by this method."""

    shape: str
    positions: int
    method: Literal["full", "lora"]
    batch_size: int
    encoded: "EncodedExamples"
    order: tuple[tuple[int, ...], ...]

    def rows(self, step: int) -> list[dict[str, list[int]]]:
        """A step's examples with labels as transformers wants them: -100 where nothing is learned."""
        given, rows = self.encoded, []
        for number in self.order[step]:
            span = slice(given.offsets[number], given.offsets[number + 1])
            ids, learned = given.ids[span].tolist(), given.learned[span].tolist()
            labels = [token if counts else -100 for token, counts in zip(ids, learned, strict=True)]
            rows.append({"input_ids": ids, "labels": labels})
        return rows

    def lengths(self, *, after: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Tokens of every example from step number `after` on."""
        numbers = [number for step in self.order[after:] for number in step]
        return np.asarray(self.encoded.lengths[numbers])


def make_work(shape: str, *, longest: int, method: Literal["full", "lora"], steps: int, batch_size: int) -> Work:
    """Work of so many steps on examples of up to `longest` tokens, in sftlab's order."""
    from sftlab.study.declaration import Precision
    from sftlab.train.order import epoch_batches

    base = llama_shapes.loaded_base(shape, positions=longest, precision=Precision())
    folder = Path(tempfile.mkdtemp(prefix="sftlab-perf-"))
    encoded = llama_shapes.examples(base, count=steps * batch_size, longest=longest, folder=folder)
    batches = epoch_batches(encoded, batch_size=batch_size, seed=0, epoch=1)
    order = tuple(tuple(int(number) for number in batch) for batch in batches)
    return Work(shape, longest, method, batch_size, encoded, order)


def run_spec(work: Work, compute: Compute) -> "RunSpec":
    """The recipe as sftlab's trainer takes it: one epoch, constant rate."""
    from sftlab.study.declaration import Precision
    from sftlab.study.methods import Full, Lora
    from sftlab.study.run import DataPart, RunSeeds, RunSpec

    common: dict[str, Any] = {"learning_rate": RATE[work.method], "batch_size": work.batch_size}
    common["max_grad_norm"] = MAX_GRAD_NORM
    method = Full(**common) if work.method == "full" else Lora(adapter="lora", rank=RANK, alpha=ALPHA, **common)
    values: dict[str, Any] = {
        "run": f"{work.shape} {work.method} {compute}",
        "base": work.shape,
        "dataset": "made",
        "parts": (DataPart(dataset="made", weight=1),),
        "samples": len(work.encoded),
        "validation": 0,
        "method_name": work.method,
        "method": method,
        "schedule": "constant",
        "warmup_steps": 0,
        "epochs": 1,
        "seeds": RunSeeds(sample=0, order=0, init=0),
        "precision": Precision(weights="float32", compute=compute),
        "template": "question_answer",
        "loss_on": "response",
        "max_tokens": work.positions,
        "overflow": "drop",
    }
    return RunSpec(**values)


def sftlab_loop(work: Work, compute: Compute) -> Callable[[], Pass]:
    """The trainer of sftlab on a base in memory, which stays there from pass to pass as in a worker.

    The first pass also chooses the kernel by measurement, as a worker does when it first meets a base.
    """
    from sftlab.execute.workplace import MICRO_BATCH_TOKENS
    from sftlab.lm.encoding import EncodedExamples
    from sftlab.lm.measured_kernel import fastest_kernel
    from sftlab.plan.devices import devices
    from sftlab.train.inputs import Progress, RunData, RunFiles, TrainControl
    from sftlab.train.run import train_run

    spec = run_spec(work, compute)
    base = llama_shapes.loaded_base(work.shape, positions=work.positions, precision=spec.precision)
    folder = Path(tempfile.mkdtemp(prefix="sftlab-perf-"))
    none: EncodedExamples = llama_shapes.examples(base, count=0, longest=work.positions, folder=folder / "tokens")

    def run() -> Pass:
        ends: list[Instant] = []

        def at_step(progress: Progress) -> None:
            assert progress.step == len(ends) + 1, "one word a step"
            ends.append(Instant.now())

        # A state of an earlier pass would be taken up again.
        working = Path(tempfile.mkdtemp(dir=folder))
        begun = Instant.now()
        base.kernel = fastest_kernel(base, machine=devices()[0].name, cache=folder / "cache")
        trained = train_run(
            base,
            spec,
            RunData(work.encoded, none),
            files=RunFiles(working, lambda _: None),
            control=TrainControl(on_progress=at_step, max_micro_tokens=MICRO_BATCH_TOKENS["cpu"]),
        )
        return Pass(tuple(trained.rows["losses"]["loss"].to_list()), begun, tuple(ends), str(base.kernel))

    return run


def _peer_model(work: Work) -> tuple[nn.Module, Callable[[], None]]:
    """The model as a user of transformers and PEFT has it, and what brings it back to the base's weights."""
    model: Any = llama_shapes.model(llama_shapes.SHAPES[work.shape], positions=work.positions)
    if work.method == "lora":
        import peft

        from sftlab.lm.adapters import inject_lora

        method: Any = run_spec(work, "float32").method
        start = inject_lora(model, method, seed=0, base_model=work.shape)
        with tempfile.TemporaryDirectory() as folder:
            start.save(Path(folder))
            start.unload()
            model = peft.PeftModel.from_pretrained(model, folder, is_trainable=True)
    kept = {name: weight.detach().clone() for name, weight in model.named_parameters()}

    def reset() -> None:
        with torch.no_grad():
            for name, weight in model.named_parameters():
                weight.grad = None
                weight.copy_(kept[name])

    return model, reset


def _padded(rows: list[dict[str, list[int]]], pad: int) -> dict[str, Tensor]:
    width = max(len(row["input_ids"]) for row in rows)
    fill = {"input_ids": pad, "labels": -100}
    batch = {
        name: torch.tensor([row[name] + [value] * (width - len(row[name])) for row in rows])
        for name, value in fill.items()
    }
    batch["attention_mask"] = torch.tensor(
        [[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows]
    )
    return batch


def plain_loop(work: Work, compute: Compute) -> Callable[[], Pass]:
    """Padded batches, the model's own loss, AdamW and clipping; with bfloat16 compute by autocast."""
    model, reset = _peer_model(work)
    pad = 2

    def run() -> Pass:
        reset()
        begun = Instant.now()
        parameters = [weight for weight in model.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=RATE[work.method], weight_decay=0.0)
        losses, ends = [], []
        model.train()
        for step in range(len(work.order)):
            with torch.autocast("cpu", torch.bfloat16, enabled=compute == "bfloat16"):
                loss = model(**_padded(work.rows(step), pad)).loss
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            ends.append(Instant.now())
        return Pass(tuple(losses), begun, tuple(ends))

    return run


def trl_loop(work: Work) -> Callable[[], Pass]:
    """TRL's SFTTrainer in float32, on tokens prepared beforehand; a new trainer every time, as a new script would."""
    import datasets
    import trl
    from torch.utils.data import SequentialSampler
    from transformers import PrinterCallback, TrainerCallback

    class Recorded(trl.SFTTrainer):
        """In the given order, and remembering every loss."""

        def _get_train_sampler(self, dataset: Any = None) -> SequentialSampler:  # noqa: ANN401 - TRL's own signature
            return SequentialSampler(self.train_dataset if dataset is None else dataset)

        def training_step(self, *args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401 - TRL's own signature
            loss: Tensor = super().training_step(*args, **kwargs)
            losses.append(loss.detach())
            return loss

    class Ends(TrainerCallback):
        """Remembers when steps end."""

        def on_step_end(self, *_: object, **__: object) -> None:
            ends.append(Instant.now())

    model, reset = _peer_model(work)
    words = llama_shapes.tokenizer(llama_shapes.SHAPES[work.shape].vocabulary)
    rows = datasets.Dataset.from_list([row for step in range(len(work.order)) for row in work.rows(step)])
    losses: list[Tensor] = []
    ends: list[Instant] = []
    arguments = trl.SFTConfig(
        output_dir=tempfile.mkdtemp(prefix="sftlab-perf-"), use_cpu=True, bf16=False, report_to="none",
        save_strategy="no", logging_steps=10**6, num_train_epochs=1, per_device_train_batch_size=work.batch_size,
        learning_rate=RATE[work.method], lr_scheduler_type="constant", weight_decay=0.0, max_grad_norm=MAX_GRAD_NORM,
        loss_type="nll", gradient_checkpointing=False, max_length=None, disable_tqdm=True,
        dataset_kwargs={"skip_prepare_dataset": True},
    )  # fmt: skip

    def run() -> Pass:
        reset()
        losses.clear()
        ends.clear()
        trainer = Recorded(model=model, args=arguments, train_dataset=rows, processing_class=words, callbacks=[Ends()])
        trainer.remove_callback(PrinterCallback)
        begun = Instant.now()
        trainer.train()
        return Pass(tuple(map(float, losses)), begun, tuple(ends))

    return run

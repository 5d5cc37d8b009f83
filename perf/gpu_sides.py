"""One training on one device, by sftlab or by TRL's SFTTrainer: Llama shapes, random weights made on the device.

Lengths follow a log-normal with median 250 tokens a tenth above 800, cut at the maximum, as instruction data of the
kind that is trained on in practice; the second half or so of each example is learned.
"""

import importlib.util
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import llama_shapes
import numpy as np
import torch

if TYPE_CHECKING:
    from sftlab.lm.base import LoadedBase
    from sftlab.lm.encoding import EncodedExamples
    from sftlab.study.run import RunSpec

SEED = 0
MEDIAN_TOKENS, SPREAD = 250, 0.9
RANK, ALPHA = 16, 32
RATE = {"full": 1e-5, "lora": 2e-4}
TINY_RATE = {"full": 1e-3, "lora": 5e-3}
"""So large that losses of later steps tell whether steps are equal."""
FIRST_WORD = 16
"""Ids below are special tokens and the template's."""


@dataclass(frozen=True)
class LlamaShape:
    """Sizes of a Llama model with grouped keys and values and a head of its own."""

    vocabulary: int
    hidden: int
    inner: int
    layers: int
    heads: int
    key_value_heads: int
    longest: int

    @property
    def num_weights(self) -> int:
        """Weights, embedding and head included."""
        narrow = self.hidden * self.key_value_heads // self.heads
        layer = 2 * self.hidden * (self.hidden + narrow) + 3 * self.hidden * self.inner + 2 * self.hidden
        return 2 * self.vocabulary * self.hidden + self.layers * layer + self.hidden


LLAMA_3_8B = LlamaShape(128_256, 4096, 14_336, 32, 32, 8, longest=2048)
TINY = LlamaShape(512, 64, 128, 2, 4, 2, longest=128)


@dataclass(frozen=True)
class Job:
    """What is trained, by which method, in how many batches of how many examples.

    A pass of sftlab has `micro_tokens` at most, one of TRL so many `rows`.
    """

    shape: LlamaShape
    method: Literal["full", "lora"]
    batch_size: int
    steps: int
    device: str
    precision: tuple[str, str]
    micro_tokens: int
    rows: int
    checkpointing: bool
    optimizer: Literal["adamw", "adamw_8bit"]

    @property
    def learning_rate(self) -> float:
        """The constant rate."""
        return (TINY_RATE if self.shape == TINY else RATE)[self.method]


@dataclass(frozen=True)
class Measured:
    """One training: losses of all steps, where it was taken to its end.

    Seconds, tokens and useful operations are of all steps but the first.
    """

    losses: list[float]
    seconds: float
    tokens: int
    flops: float
    matrix_flops_per_second: float
    peak_bytes: int | None
    how: str

    @property
    def values(self) -> dict[str, object]:
        """All numbers."""
        return asdict(self)


def matrix_rate(device: str) -> float:
    """Operations a second of square bfloat16 products: the best of five spells."""
    size, repeats = (8192, 20) if device == "cuda" else (512, 4)
    left, right = (torch.randn(size, size, device=device).to(torch.bfloat16) for _ in range(2))
    out, best = left @ right, 0.0
    for _ in range(5):
        start = _moment(device)
        for _ in range(repeats):
            torch.matmul(left, right, out=out)
        best = max(best, 2 * size**3 * repeats / (_moment(device) - start))
    return best


def _moment(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def make_model(job: Job) -> Any:  # noqa: ANN401 - a transformers model
    """The model on its device, in the type its weights are held in."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = job.shape
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        max_position_embeddings=shape.longest,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    torch.manual_seed(SEED)
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, job.precision[0]))
    try:
        with torch.device(job.device):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    assert sum(weight.numel() for weight in model.parameters()) == shape.num_weights
    return model


def examples(job: Job) -> "EncodedExamples":
    """Seeded random tokens in these lengths; every example ends with a learned end-of-sequence token."""
    from sftlab.lm.encoding import EncodedExamples

    generator = np.random.default_rng(SEED)
    count = job.steps * job.batch_size
    scale = job.shape.longest / LLAMA_3_8B.longest
    drawn = np.exp(generator.normal(np.log(MEDIAN_TOKENS * scale), SPREAD, count))
    lengths = np.clip(drawn, 8, job.shape.longest).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = generator.integers(FIRST_WORD, job.shape.vocabulary, int(offsets[-1])).astype(np.int32)
    ids[offsets[:-1]], ids[offsets[1:] - 1] = 1, 2
    learned = np.zeros(len(ids), np.bool_)
    for start, end in pairwise(offsets):
        learned[int(start + (end - start) * generator.uniform(0.4, 0.6)) : end] = True
    places, zeros = np.arange(count), np.zeros(count, np.int64)
    sizes = dict.fromkeys(("prompt_bytes", "response_bytes", "prompt_tokens", "response_tokens"), zeros)
    return EncodedExamples(
        digest=f"made {SEED} {count} {job.shape.longest}", ids=ids, learned=learned, response=learned, offsets=offsets,
        positions=places, source_rows=places, dropped=(), truncated=0, num_given=count, **sizes,
    )  # fmt: skip


def run_spec(job: Job) -> "RunSpec":
    """The recipe as sftlab's trainer takes it."""
    from sftlab.study.declaration import Precision
    from sftlab.study.methods import Full, Lora
    from sftlab.study.run import DataPart, RunSeeds, RunSpec

    common: dict[str, Any] = {
        "learning_rate": job.learning_rate,
        "batch_size": job.batch_size,
        "gradient_checkpointing": job.checkpointing,
        "optimizer": job.optimizer,
    }
    method = Full(**common) if job.method == "full" else Lora(adapter="lora", rank=RANK, alpha=ALPHA, **common)
    weights, compute = job.precision
    values: dict[str, Any] = {
        "run": job.method, "base": "made", "dataset": "made", "parts": (DataPart(dataset="made", weight=1),),
        "samples": job.steps * job.batch_size, "validation": 0, "method_name": job.method, "method": method,
        "schedule": "constant", "warmup_steps": 0, "epochs": 1, "seeds": RunSeeds(sample=0, order=0, init=0),
        "precision": Precision(weights=weights, compute=compute), "template": "question_answer",
        "loss_on": "response", "max_tokens": job.shape.longest, "overflow": "drop",
    }  # fmt: skip
    return RunSpec(**values)


def _base(job: Job) -> "LoadedBase":
    from sftlab.lm.base import LoadedBase
    from sftlab.lm.tokenizer import BaseTokenizer
    from sftlab.study.declaration import BaseRef

    words = BaseTokenizer(llama_shapes.tokenizer(job.shape.vocabulary), context_length=job.shape.longest)
    ref = BaseRef(name="made", model="made")
    return LoadedBase(ref, make_model(job), words, device=job.device, precision=run_spec(job).precision)


def useful_flops(job: Job, lengths: "np.ndarray[Any, np.dtype[np.int64]]") -> float:
    """Operations that training on these examples needs: 6 a weight and token (LoRA 4), and causal attention.

    The embedding is looked up, not multiplied; recomputed activations are not counted.
    """
    shape = job.shape
    multiplied = shape.num_weights - shape.vocabulary * shape.hidden
    attention = 6 * shape.layers * shape.hidden * float(np.square(lengths.astype(float)).sum())
    return float(multiplied * (6 if job.method == "full" else 4) * lengths.sum()) + attention


def _measured(job: Job, losses: list[float], ends: list[float], rate: float, how: str) -> Measured:
    given = examples(job)
    later = _order(job, given)[job.batch_size :]
    lengths = given.lengths[later]
    peak = torch.cuda.max_memory_allocated() if job.device == "cuda" else None
    seconds = ends[-1] - ends[0]
    return Measured(losses, seconds, int(lengths.sum()), useful_flops(job, lengths), rate, peak, how)


def _order(job: Job, given: "EncodedExamples") -> "np.ndarray[Any, np.dtype[np.int64]]":
    from sftlab.train.order import epoch_batches

    return np.concatenate(epoch_batches(given, batch_size=job.batch_size, seed=0, epoch=1))


def sftlab_side(job: Job) -> Measured:
    """The trainer of sftlab, with the kernel that it takes by itself."""
    from sftlab.lm.measured_kernel import fastest_kernel
    from sftlab.train.inputs import Progress, RunData, RunFiles, TrainControl
    from sftlab.train.run import train_run

    rate = matrix_rate(job.device)
    base, given = _base(job), examples(job)
    ends: list[float] = []
    losses: list[float] = []
    whole = job.shape == TINY

    def at_step(progress: Progress) -> None:
        assert progress.step == len(ends) + 1, "one word a step"
        ends.append(_moment(job.device))
        if progress.step == job.steps and not whole:
            raise _DoneError

    with tempfile.TemporaryDirectory() as folder:
        base.kernel = fastest_kernel(base, machine="gpu_training", cache=Path(folder) / "cache")
        none = examples(replace(job, steps=0))
        control = TrainControl(on_progress=at_step, max_micro_tokens=job.micro_tokens, keep_seconds=3600.0)
        files = RunFiles(Path(folder) / "working", lambda _: None)
        # The state that a run of this size keeps at its end takes longer to write than what is measured here.
        with suppress(_DoneError):
            trained = train_run(base, run_spec(job), RunData(given, none), files=files, control=control)
            losses = trained.rows["losses"]["loss"].to_list()
    how = "; ".join([base.kernel.about, *(["checkpointing"] if job.checkpointing else []), job.optimizer])
    return _measured(job, losses, ends, rate, how)


class _DoneError(Exception):
    """All steps that are measured are done."""


def trl_side(job: Job) -> Measured:
    """TRL's SFTTrainer: padding-free with flash attention where it is installed, else padded under PyTorch's own.

    A step's examples are sorted by length, so that its passes have little padding.
    """
    import datasets
    import trl
    from torch.utils.data import SequentialSampler
    from transformers import PrinterCallback, TrainerCallback

    class InOrder(trl.SFTTrainer):
        """In the given order, and remembering every loss."""

        def _get_train_sampler(self, dataset: Any = None) -> SequentialSampler:  # noqa: ANN401 - TRL's own signature
            return SequentialSampler(self.train_dataset if dataset is None else dataset)

        def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:  # noqa: ANN401 - TRL's own signature
            loss: torch.Tensor = super().training_step(*args, **kwargs)
            parts[self.state.global_step].append(loss.detach())
            return loss

    class Ends(TrainerCallback):
        """Remembers when steps end."""

        def on_step_end(self, *_: object, **__: object) -> None:
            ends.append(_moment(job.device))

    rate, given = matrix_rate(job.device), examples(job)
    parts: dict[int, list[torch.Tensor]] = defaultdict(list)
    ends: list[float] = []
    model = make_model(job)
    flash = job.device == "cuda" and importlib.util.find_spec("flash_attn") is not None
    if flash:
        model.set_attn_implementation("flash_attention_2")
    if job.method == "lora":
        model = _with_adapter(job, model)
    order = _order(job, given).reshape(-1, job.batch_size)
    by_length = np.concatenate([step[np.argsort(-given.lengths[step], kind="stable")] for step in order])
    arguments = _trl_arguments(job, padding_free=flash)
    words = llama_shapes.tokenizer(job.shape.vocabulary)
    rows = datasets.Dataset.from_list([_row(given, int(number)) for number in by_length])
    trainer = InOrder(model=model, args=arguments, train_dataset=rows, processing_class=words, callbacks=[Ends()])
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    losses = [float(sum(parts[step])) for step in sorted(parts)]
    how = "padding-free, flash attention" if flash else "padded, sorted by length in each step, sdpa"
    how += f"; {job.rows} rows a pass{'; checkpointing' if job.checkpointing else ''}; {job.optimizer}"
    return _measured(job, losses, ends, rate, how)


def _row(given: "EncodedExamples", number: int) -> dict[str, list[int]]:
    span = slice(given.offsets[number], given.offsets[number + 1])
    ids = given.ids[span]
    return {"input_ids": ids.tolist(), "labels": np.where(given.learned[span], ids, -100).tolist()}


def _with_adapter(job: Job, model: Any) -> Any:  # noqa: ANN401 - transformers and PEFT models
    """PEFT's adapter, with the start of sftlab's."""
    import peft

    from sftlab.lm.adapters import inject_lora

    method: Any = run_spec(job).method
    start = inject_lora(model, method, seed=0, base_model="made")
    with tempfile.TemporaryDirectory() as folder:
        start.save(Path(folder))
        start.unload()
        return peft.PeftModel.from_pretrained(model, folder, is_trainable=True)


def _trl_arguments(job: Job, *, padding_free: bool) -> Any:  # noqa: ANN401 - TRL's configuration
    import trl

    return trl.SFTConfig(
        output_dir=tempfile.mkdtemp(prefix="sftlab-perf-"), use_cpu=job.device == "cpu",
        bf16=job.precision[1] == "bfloat16", report_to="none", save_strategy="no", logging_steps=10**6,
        num_train_epochs=1, per_device_train_batch_size=job.rows,
        gradient_accumulation_steps=job.batch_size // job.rows, learning_rate=job.learning_rate,
        lr_scheduler_type="constant", weight_decay=0.0, max_grad_norm=1.0, loss_type="nll",
        optim="adamw_bnb_8bit" if job.optimizer == "adamw_8bit" else "adamw_torch_fused",
        gradient_checkpointing=job.checkpointing, max_length=None, padding_free=padding_free, disable_tqdm=True,
        dataset_kwargs={"skip_prepare_dataset": True},
    )  # fmt: skip

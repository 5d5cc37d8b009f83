"""Tokens per second of scoring with a Llama-3-8B shape on one GPU, prompts read and answers written, by sftlab.

    python perf/gpu_scoring.py --tiny          # on a CPU, two layers: that it runs, and that both sides are equal
    python perf/gpu_scoring.py --save          # on a GPU

Weights are random, in bfloat16, and made on the device. First a tiny model: log-likelihoods must be those of a plain
forward pass, answers those of transformers' `generate`. Then the large one. Prompts read: choices of different
questions, nothing of which is shared; the share is that of 2 operations a weight and token, and of causal attention, in
the rate of 8192 x 8192 bfloat16 products. Answers written: equally long prompts and no end of their own, by the queue
and by `generate`, each once with few and once with many new tokens, so that the difference is writing alone; the share
is that of the weights and of the keys and values, read once a step, in the rate at which this device reads memory.
Both rates are measured in the same process. What is not done within `--minutes` is named and left out.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.update({"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"})
os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")

import llama_shapes
import numpy as np
import torch
from gpu_sides import LLAMA_3_8B, TINY, Job, LlamaShape, make_model, matrix_rate
from record import Result, machine, markdown_table, say

if TYPE_CHECKING:
    from sftlab.lm.base import LoadedBase

BOUND = 1e-4
"""Largest difference of a log-likelihood from that of a plain pass, in nats, in float32."""
PARTS = ("memory", "matrix", "reading", "writing, queue", "writing, generate")


@dataclass(frozen=True)
class Work:
    """How much is read and written: questions of four choices, and prompts of answers with few or many tokens."""

    questions: int
    question_tokens: int
    answers: int
    prompt_tokens: int
    few: int
    many: int
    max_batch_tokens: int


LARGE = Work(256, 512, 128, 256, 16, 144, 131_072)
SMALL = Work(12, 24, 6, 12, 2, 8, 256)
Values = dict[str, float]


def main() -> None:
    """Compare both sides on the tiny model, measure the large one where there is a GPU, and show both."""
    asked = _arguments()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    if asked.part is not None:
        Path(asked.out).write_text(json.dumps(_measured(asked.part)))
        return
    at_start, until = machine(), time.monotonic() + 60 * asked.minutes
    difference = _largest_difference()
    say(f"tiny, on a CPU: log-likelihoods to {difference:.1e} nats, same answers")
    gpu = torch.cuda.is_available() and not asked.tiny
    if not gpu:
        why = "--tiny" if asked.tiny else "no GPU here"
        say(f"{why}: skipped {', '.join(PARTS)} of the large model; these are the tiny one's")
    found = {name: one for name in PARTS if (one := _part(name, until, tiny=not gpu)) is not None}
    settings = {"device": torch.cuda.get_device_name() if gpu else "CPU, one thread", **vars(LARGE if gpu else SMALL)}
    skipped = [name for name in PARTS if name not in found]
    values = {"largest_difference_nats": difference, "parts": found, "skipped": skipped}
    text = table(found, LLAMA_3_8B if gpu else TINY, LARGE if gpu else SMALL)
    Result("gpu-scoring", settings, values, text).finish(at_start, save=asked.save)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Scoring with a Llama-3-8B shape on one GPU.")
    parser.add_argument("--tiny", action="store_true", help="the tiny model only, on a CPU")
    parser.add_argument("--minutes", type=float, default=9.0, help="time for all parts together")
    parser.add_argument("--save", action="store_true", help="keep the result under perf/results/")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    return parser.parse_args()


def _part(name: str, until: float, *, tiny: bool) -> Values | None:
    """One part in a process of its own, which has the device's memory for itself."""
    with tempfile.TemporaryDirectory(prefix="sftlab-gpu-scoring-") as folder:
        out = Path(folder) / "result.json"
        command = [sys.executable, __file__, "--part", name, "tiny" if tiny else "large", "--out", str(out)]
        left = until - time.monotonic()
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=max(1.0, left))
        except subprocess.TimeoutExpired:
            say(f"{name}: skipped, it was not done when the time was up")
            return None
        if done.returncode != 0:
            say(f"{name}: skipped, it failed: {(done.stderr.strip().splitlines() or ['no word of why'])[-1]}")
            return None
        found: Values = json.loads(out.read_text())
    say(f"{name}: {', '.join(f'{key} {value:.4g}' for key, value in found.items())}")
    return found


def _measured(part: tuple[str, str]) -> Values:
    name, size = part
    device, work = ("cpu", SMALL) if size == "tiny" else ("cuda", LARGE)
    if name == "memory":
        return {"bytes_per_second": _memory_rate(device)}
    if name == "matrix":
        return {"flops_per_second": matrix_rate(device)}
    base = _base(TINY if size == "tiny" else LLAMA_3_8B, device)
    if name == "reading":
        requests = _requests(base, work)
        return {
            "tokens": float(_num_read(requests)),
            "seconds": _second_time(base, lambda: _read(base, requests, work)),
        }
    write = _by_queue if name == "writing, queue" else _by_generate
    prompts = _prompts(base, work)
    few, many = (
        _second_time(base, lambda count=count: write(base, prompts, count, work)) for count in (work.few, work.many)
    )
    return {
        "tokens": float(len(prompts) * (work.many - work.few)),
        "seconds": many - few,
        "steps": work.many - work.few,
    }


def _memory_rate(device: str) -> float:
    """Bytes a second that a sum over a large tensor reads: the best of five."""
    tensor = torch.zeros(2**32 if device == "cuda" else 2**24, dtype=torch.bfloat16, device=device)
    return max(tensor.nbytes / _seconds(device, tensor.max) for _ in range(6))


def _seconds(device: str, work: Callable[[], object]) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _second_time(base: "LoadedBase", work: Callable[[], object]) -> float:
    """Seconds of a second pass: the first finds kernels and memory."""
    work()
    return _seconds(base.device.type, work)


def _base(shape: LlamaShape, device: str) -> "LoadedBase":
    from sftlab.lm.base import LoadedBase
    from sftlab.lm.tokenizer import BaseTokenizer
    from sftlab.study.declaration import BaseRef, Precision

    kind = "bfloat16" if device == "cuda" else "float32"
    job = Job(
        shape, "full", batch_size=1, steps=1, device=device, precision=(kind, kind), micro_tokens=0, rows=0,
        checkpointing=False, optimizer="adamw",
    )  # fmt: skip
    words = BaseTokenizer(llama_shapes.tokenizer(shape.vocabulary), context_length=shape.longest)
    precision = Precision(weights=kind, compute=kind)
    base = LoadedBase(BaseRef(name="made", model="made"), make_model(job), words, device=device, precision=precision)
    # Answers have no end of their own, so that all have the same length.
    base.eos_id = -1
    base.model.generation_config.eos_token_id = None
    return base


def _ids(base: "LoadedBase", count: int, length: int) -> Iterator[np.ndarray]:
    generator = np.random.default_rng(0)
    return (generator.integers(16, len(base.tokenizer), length).astype(np.int32) for _ in range(count))


def _requests(base: "LoadedBase", work: Work) -> list[Any]:
    from sftlab.lm.likelihood import Request

    choices = list(_ids(base, 4, 3))
    return [Request(ids, choice) for ids in _ids(base, work.questions, work.question_tokens) for choice in choices]


def _num_read(requests: list[Any]) -> int:
    """Tokens that have to be read: every question once, and all but the last token of each choice."""
    questions = {request.context_ids.tobytes(): len(request.context_ids) for request in requests}
    return sum(questions.values()) + sum(len(request.continuation_ids) - 1 for request in requests)


def _read(base: "LoadedBase", requests: list[Any], work: Work) -> np.ndarray:
    from sftlab.lm.likelihood import continuation_log_likelihoods

    return continuation_log_likelihoods(base, requests, max_batch_tokens=work.max_batch_tokens).log_likelihood


def _prompts(base: "LoadedBase", work: Work) -> list[np.ndarray]:
    return list(_ids(base, work.answers, work.prompt_tokens))


def _by_queue(base: "LoadedBase", prompts: list[np.ndarray], count: int, work: Work) -> list[str]:
    from sftlab.lm.generation import generate_greedy

    return generate_greedy(base, prompts, max_new_tokens=count, max_batch_tokens=work.max_batch_tokens)


def _by_generate(base: "LoadedBase", prompts: list[np.ndarray], count: int, work: Work) -> list[str]:
    del work
    ids = torch.from_numpy(np.stack(prompts).astype(np.int64)).to(base.device)
    options = {"do_sample": False, "pad_token_id": base.pad_id, "attention_mask": torch.ones_like(ids)}
    with torch.inference_mode():
        out = base.model.generate(input_ids=ids, max_new_tokens=count, **options)
    return [base.tokenizer.decode(row, skip_special_tokens=True) for row in out[:, ids.shape[1] :].tolist()]


def _largest_difference() -> float:
    """Of a log-likelihood from that of a plain pass, on the tiny model; ends where it or an answer is another."""
    base = _base(TINY, "cpu")
    requests = _requests(base, SMALL)
    plain = []
    for one in requests:
        ids = torch.from_numpy(np.concatenate([one.context_ids, one.continuation_ids]).astype(np.int64))
        with torch.inference_mode():
            logs = base.model(ids[None]).logits[0, len(one.context_ids) - 1 : -1].double().log_softmax(-1)
        plain.append(float(logs.gather(1, ids[len(one.context_ids) :, None]).sum()))
    difference = float(np.abs(_read(base, requests, SMALL) - np.array(plain)).max())
    if not difference <= BOUND:
        raise SystemExit(
            f"tiny: a log-likelihood is off by {difference:.2g} nats, more than {BOUND:g}: nothing is shown"
        )
    prompts = _prompts(base, SMALL)
    if _by_queue(base, prompts, SMALL.many, SMALL) != _by_generate(base, prompts, SMALL.many, SMALL):
        raise SystemExit("tiny: an answer of the queue is not that of generate: nothing is shown")
    return difference


def table(found: dict[str, Values], shape: LlamaShape, work: Work) -> str:
    """Tokens per second, and shares of the rates; what was left out has dashes."""
    matrix = found.get("matrix", {}).get("flops_per_second")
    memory = found.get("memory", {}).get("bytes_per_second")
    size = 2 if shape == LLAMA_3_8B else 4
    rows: list[list[object]] = []
    for name in PARTS[2:]:
        one = found.get(name)
        if one is None:
            rows.append([name, None, None, None])
        elif name == "reading":
            flops = _flops(shape, one["tokens"], work)
            share = None if matrix is None else 100 * flops / one["seconds"] / matrix
            rows.append([name, one["tokens"] / one["seconds"], share, None])
        else:
            read = one["steps"] * _bytes_a_step(shape, work, size)
            share = None if memory is None else 100 * read / one["seconds"] / memory
            rows.append([name, one["tokens"] / one["seconds"], None, share])
    text = markdown_table(["part", "tokens/s", "% of matrix rate", "% of memory rate"], rows)
    rates = [f"bfloat16 products {matrix / 1e12:,.3g} TFLOP/s"] if matrix else []
    rates += [f"memory {memory / 1e9:,.4g} GB/s"] if memory else []
    return f"{text}\n\n{', '.join(rates) or 'no rate was measured'}."


def _flops(shape: LlamaShape, tokens: float, work: Work) -> float:
    """Of reading: 2 a weight of the layers and token, and causal attention; the head is not counted."""
    layers = shape.num_weights - 2 * shape.vocabulary * shape.hidden
    return tokens * (2 * layers + 2 * shape.layers * shape.hidden * work.question_tokens)


def _bytes_a_step(shape: LlamaShape, work: Work, size: int) -> float:
    """Weights but for the embedding, and the keys and values of all rows half way through."""
    weights = shape.num_weights - shape.vocabulary * shape.hidden
    kept = 2 * shape.layers * shape.hidden * shape.key_value_heads // shape.heads
    return size * (weights + work.answers * kept * (work.prompt_tokens + (work.few + work.many) / 2))


if __name__ == "__main__":
    main()

"""Tokens per second of training a Llama-3-8B shape on one GPU, LoRA and full: sftlab, and TRL's SFTTrainer at its best.

    python perf/gpu_training.py --tiny          # on a CPU, two layers: that it runs, and that both sides are equal
    python perf/gpu_training.py --save          # on a GPU

Every part is a process of its own, so that each has the device's memory for itself; weights are random and made on the
device. First both sides train a tiny model on the same examples in the same order, and losses of every step must agree.
Then each trains the large one, LoRA in batches of 128 with bfloat16 weights, full in batches of 32 with float32 weights
and bfloat16 compute; all steps but the first are measured. The share is that of useful operations in the rate of 8192 x
8192 bfloat16 products, measured in the same process before. A part that fails or outlasts what is left of `--minutes`
is named and left out.
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
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.update({"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"})
os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")

import numpy as np
import torch
from gpu_sides import LLAMA_3_8B, TINY, Job, Measured, sftlab_side, trl_side
from record import Result, machine, markdown_table, say

TARGET = 0.45
BOUNDS = {"cpu": 1e-4, "cuda": 2e-2}
"""Largest relative difference of a step's loss between the sides: float32 on a CPU, bfloat16 on a GPU."""
FLOAT32, MIXED, PURE = ("float32", "float32"), ("float32", "bfloat16"), ("bfloat16", "bfloat16")
SIDES = {"sftlab": sftlab_side, "TRL": trl_side}


@dataclass(frozen=True)
class Part:
    """One side on one job, by name."""

    name: str
    side: str
    job: Job


def tiny_parts(device: str) -> list[Part]:
    """Both sides on a model of two layers."""
    precision = FLOAT32 if device == "cpu" else MIXED
    common = {"batch_size": 16, "steps": 4, "device": device, "micro_tokens": 1024, "rows": 8, "optimizer": "adamw"}
    jobs = {
        method: Job(TINY, method, precision=precision, checkpointing=method == "full", **common)
        for method in ("lora", "full")
    }
    return [Part(f"{side} {method}, tiny", side, job) for method, job in jobs.items() for side in SIDES]


def large_parts(steps: int) -> list[Part]:
    """Both sides on the shape of Llama 3 8B; TRL's LoRA also with larger passes and recomputed activations."""
    common = {"steps": steps, "device": "cuda"}
    lora = Job(
        LLAMA_3_8B, "lora", batch_size=128, precision=PURE, micro_tokens=8192, rows=4, checkpointing=False,
        optimizer="adamw", **common,
    )  # fmt: skip
    full = Job(
        LLAMA_3_8B, "full", batch_size=32, precision=MIXED, micro_tokens=16384, rows=8, checkpointing=True,
        optimizer="adamw_8bit", **common,
    )  # fmt: skip
    return [
        Part("sftlab lora", "sftlab", lora),
        Part("TRL lora", "TRL", lora),
        Part("sftlab full", "sftlab", full),
        Part("TRL full", "TRL", full),
        Part("TRL lora, recomputing", "TRL", replace(lora, rows=16, checkpointing=True)),
        Part("sftlab lora, recomputing", "sftlab", replace(lora, micro_tokens=32768, checkpointing=True)),
    ]


def main() -> None:
    """Measure what the command line asks for."""
    asked = _arguments()
    if asked.part is not None:
        _do_part(asked.part, Path(asked.out))
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    large = [] if asked.tiny else large_parts(asked.steps)
    if large and device == "cpu":
        say(f"no GPU here: skipped {', '.join(part.name for part in large)}; only the tiny model is trained")
        large = []
    at_start, until = machine(), time.monotonic() + 60 * asked.minutes
    tiny = _measure(tiny_parts(device), until)
    differences = _differences(tiny, BOUNDS[device])
    found = {**tiny, **_measure(large, until)}
    parts = {part.name: part for part in [*tiny_parts(device), *large]}
    settings = {"device": _device_name(device), "steps": asked.steps, "bound on losses": BOUNDS[device]}
    values = {
        "largest_loss_difference": differences,
        "parts": {name: one.values for name, one in found.items()},
        "skipped": [name for name in parts if name not in found],
    }
    Result("gpu-training", settings, values, table(parts, found, differences)).finish(at_start, save=asked.save)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Training of a Llama-3-8B shape on one GPU.")
    parser.add_argument("--tiny", action="store_true", help="the tiny model only, on whatever device there is")
    parser.add_argument("--steps", type=int, default=4, help="optimizer steps a part; all but the first are measured")
    parser.add_argument("--minutes", type=float, default=9.0, help="time for all parts together")
    parser.add_argument("--save", action="store_true", help="keep the result under perf/results/")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.steps < 2:
        parser.error(f"--steps is at least 2, of which the first is not measured: got {asked.steps}")
    return asked


def _do_part(written: str, out: Path) -> None:
    """In a process of its own: one part, its result as JSON."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    given = json.loads(written)
    shape = TINY if given["tiny"] else LLAMA_3_8B
    job = Job(**{**given["job"], "shape": shape, "precision": tuple(given["job"]["precision"])})
    if job.device == "cpu":
        torch.set_num_threads(1)
    out.write_text(json.dumps(SIDES[given["side"]](job).values))


def _measure(parts: list[Part], until: float) -> dict[str, Measured]:
    found = {}
    with tempfile.TemporaryDirectory(prefix="sftlab-gpu-training-") as folder:
        for part in parts:
            left = until - time.monotonic()
            if left < 1:
                say(f"{part.name}: skipped, the time is up")
                continue
            one = _in_a_process(part, Path(folder), left)
            if one is not None:
                found[part.name] = one
                say(f"{part.name}: {_line(part, one)}")
    return found


def _in_a_process(part: Part, folder: Path, seconds: float) -> Measured | None:
    out = folder / "result.json"
    out.unlink(missing_ok=True)
    job = {name: value for name, value in vars(part.job).items() if name != "shape"}
    written = json.dumps({"side": part.side, "tiny": part.job.shape == TINY, "job": job})
    command = [sys.executable, __file__, "--part", written, "--out", str(out)]
    environment = {**os.environ, "TMPDIR": str(folder)}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        say(f"{part.name}: skipped, it was not done when the time was up")
        return None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no word of why"])[-1]
        say(f"{part.name}: skipped, it failed: {last}")
        return None
    return Measured(**json.loads(out.read_text()))


def _differences(found: Mapping[str, Measured], bound: float) -> dict[str, float]:
    """Largest relative difference of a step's loss between the sides, by method; ends here where it is too large."""
    largest = {}
    for method in ("lora", "full"):
        sides = [found.get(f"{side} {method}, tiny") for side in SIDES]
        ours, theirs = (np.array([] if one is None else one.losses) for one in sides)
        if len(ours) == 0 or len(ours) != len(theirs):
            raise SystemExit(f"the tiny {method} run gave {len(ours)} and {len(theirs)} losses: nothing is compared")
        largest[method] = float(np.abs(ours / theirs - 1).max())
        if not largest[method] <= bound:
            raise SystemExit(
                f"tiny {method}: a loss of sftlab is off by {largest[method]:.2g} relative to TRL's, more than "
                f"{bound:g}: nothing is shown\nsftlab: {ours.tolist()}\nTRL: {theirs.tolist()}"
            )
    return largest


def _share(one: Measured) -> float:
    return one.flops / one.seconds / one.matrix_flops_per_second


def _line(part: Part, one: Measured) -> str:
    return f"{one.tokens / one.seconds:,.0f} tokens/s, {100 * _share(one):.1f} % of the matrix rate ({part.job.method})"


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else "CPU, one thread"


def table(parts: Mapping[str, Part], found: Mapping[str, Measured], differences: Mapping[str, float]) -> str:
    """Tokens per second, share of the matrix rate and memory of every part; those that were left out have dashes."""
    head = ["part", "batch", "tokens/s", "% of matrix rate", "peak memory GB", "how"]
    rows = []
    for name, part in parts.items():
        one = found.get(name)
        if one is None:
            rows.append([name, part.job.batch_size, None, None, None, "skipped"])
            continue
        peak = None if one.peak_bytes is None else one.peak_bytes / 1e9
        rows.append([name, part.job.batch_size, one.tokens / one.seconds, 100 * _share(one), peak, one.how])
    rates = [one.matrix_flops_per_second for one in found.values()]
    off = ", ".join(f"{method} {difference:.1g}" for method, difference in differences.items())
    note = (
        f"Rate of bfloat16 products: {max(rates) / 1e12:,.3g} TFLOP/s. Useful operations are 6 a weight and token "
        "(LoRA 4) and those of causal attention, none for recomputed activations; the target is "
        f"{100 * TARGET:.0f} % on the large model. The tiny models are there to be equal, their speed means nothing; "
        f"largest relative difference of a step's loss: {off}."
    )
    return f"{markdown_table(head, rows)}\n\n{note}"


if __name__ == "__main__":
    main()

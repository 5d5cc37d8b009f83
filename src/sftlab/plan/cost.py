"""What the missing work costs, from rates that were measured: in this store, or else on this machine just now."""

import json
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sftlab.errors import StudyError
from sftlab.plan.devices import Device
from sftlab.plan.resolve import Resolved
from sftlab.plan.tasks import Job
from sftlab.store import Store
from sftlab.study.cells import BaseCell, RunCell, ScoreCell
from sftlab.study.declaration import Budget
from sftlab.study.methods import Lora

BYTES_PER_TOKEN = 3.0
TRAIN_FLOPS_PER_WEIGHT = 6.0
SCORE_FLOPS_PER_WEIGHT = 2.0
SHARE_OF_PEAK = 0.25
CUDA_FLOPS = 2.0e14
SCORE_SECONDS_UNKNOWN = 5.0


@dataclass(frozen=True)
class Cost:
    """An estimate of the missing work. `rate` says in words what the time is based on."""

    train_tokens: int
    seconds: float
    device_hours: float
    disk_bytes: int
    rate: str


def estimate_cost(resolved: Resolved, jobs: tuple[Job, ...], store: Store, devices: tuple[Device, ...]) -> Cost:
    """Tokens, time with all devices at work, device-hours and disk of the missing work."""
    rates = _measured_rates(store)
    machine_flops = None if rates.train else _machine_flops(devices)
    weights = {base.base.name: num_weights(base) for base in resolved.cells.bases}
    tokens, busy, disk = 0, 0.0, 0
    for job in jobs:
        size = weights[job.base.base.name]
        for task in job.tasks:
            if isinstance(task.cell, RunCell):
                run_tokens = round(resolved.train_bytes[task.identity] / BYTES_PER_TOKEN) * task.cell.spec.epochs
                tokens += run_tokens
                disk += _checkpoint_bytes(task.cell, size) * _kept_checkpoints(resolved, task.cell)
                if machine_flops is None:
                    busy += run_tokens / rates.train_rate(job.base.base.name, size)
                else:
                    busy += run_tokens * TRAIN_FLOPS_PER_WEIGHT * size / machine_flops
            elif isinstance(task.cell, ScoreCell):
                busy += rates.score_seconds(task.cell.benchmark_digest)
    if rates.train:
        rate = f"the rates of {rates.train_records} runs and {rates.score_records} scores in this store"
    elif devices[0].kind == "cpu":
        rate = "the matrix rate of this machine, measured now, and a guess for scores: right within a factor of about 5"
    else:
        rate = f"an assumed {CUDA_FLOPS / 1e12:.0f} TFLOP/s and a guess for scores: right within a factor of about 5"
    return Cost(tokens, busy / len(devices), busy / 3600, disk, rate)


def num_weights(base: BaseCell) -> int:
    """Number of weights, read from the headers of a base's safetensors files; 0 where it is not on this machine."""
    return sum(_header_weights(path) for path in Path(base.base.model).glob("*.safetensors"))


def _header_weights(path: Path) -> int:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    total = 0
    for name, entry in header.items():
        if name != "__metadata__":
            count = 1
            for size in entry["shape"]:
                count *= size
            total += count
    return total


def _checkpoint_bytes(run: RunCell, size: int) -> int:
    method = run.spec.method
    return round(size * 4 * (0.02 * method.rank / 16 if isinstance(method, Lora) else 1))


def _kept_checkpoints(resolved: Resolved, run: RunCell) -> int:
    return run.spec.epochs if resolved.study.checkpoints == "all" else 1


@dataclass(frozen=True)
class _Rates:
    train: Mapping[str, float]
    weights_rate: float
    scores: Mapping[str, float]
    train_records: int
    score_records: int

    def train_rate(self, base: str, size: int) -> float:
        """Tokens per second of one worker: of this base where it was measured, else scaled by size."""
        return self.train.get(base) or self.weights_rate / max(size, 1)

    def score_seconds(self, benchmark_digest: str) -> float:
        """Mean seconds of a score of this benchmark, else of any."""
        if benchmark_digest in self.scores:
            return self.scores[benchmark_digest]
        return sum(self.scores.values()) / len(self.scores) if self.scores else SCORE_SECONDS_UNKNOWN


def _measured_rates(store: Store) -> _Rates:
    tokens: dict[str, list[float]] = {}
    work: list[tuple[float, float]] = []
    for record in store.records("train"):
        result = record.result
        seconds = cast("float", record.provenance["wall_seconds"])
        count = cast("int", result["tokens"])
        if seconds > 0:
            tokens.setdefault(str(record.spec["base"]), []).append(count / seconds)
            work.append((count * cast("int", record.spec["num_weights"]), seconds))
    scores: dict[str, list[float]] = {}
    for record in store.records("score"):
        scores.setdefault(str(record.spec["benchmark_digest"]), []).append(
            cast("float", record.provenance["wall_seconds"])
        )
    total_work, total_seconds = (sum(column) for column in zip(*work, strict=True)) if work else (0.0, 1.0)
    return _Rates(
        {base: sum(rates) / len(rates) for base, rates in tokens.items()},
        total_work / total_seconds,
        {key: sum(times) / len(times) for key, times in scores.items()},
        len(work),
        sum(len(times) for times in scores.values()),
    )


def _machine_flops(devices: tuple[Device, ...]) -> float:
    """Floating-point operations a second one worker can expect in training."""
    if devices[0].kind == "cuda":
        return CUDA_FLOPS
    import numpy as np

    size, repeats = 512, 5
    matrix = np.ones((size, size), dtype=np.float32)
    best = 0.0
    for _ in range(repeats):
        start = time.perf_counter()
        matrix @ matrix
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best * SHARE_OF_PEAK / len(devices)


def check_budget(budget: Budget | None, cost: Cost) -> None:
    """Raise StudyError where the missing work costs more than the study allows."""
    if budget is None:
        return
    limits = (
        ("gpu_hours", budget.gpu_hours, cost.device_hours),
        ("hours", budget.hours, cost.seconds / 3600),
        ("disk_gb", budget.disk_gb, cost.disk_bytes / 1e9),
    )
    for name, limit, needed in limits:
        if limit is not None and needed > limit:
            raise StudyError(
                f"the missing work is estimated at {needed:.2f} {name}, and budget.{name} allows {limit:g}: "
                "make the study smaller or raise the budget"
            )

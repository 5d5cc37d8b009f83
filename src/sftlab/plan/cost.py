"""What the missing work costs, from rates that were measured: in this store, or else on this machine just now."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from sftlab.data.probe import probe_texts
from sftlab.errors import StudyError
from sftlab.plan.base_size import BaseSize, base_size
from sftlab.plan.benchmark_items import BenchmarkItems
from sftlab.plan.devices import Device
from sftlab.plan.resolve import Resolved
from sftlab.plan.tasks import Job
from sftlab.store import Store
from sftlab.study.cells import ProbeCell, RunCell, ScoreCell
from sftlab.study.declaration import Budget, Study
from sftlab.study.methods import LowRank
from sftlab.study.run import RunSpec

BYTES_PER_TOKEN = 3.0
FULL_FLOPS_PER_WEIGHT = 6.0
LORA_FLOPS_PER_WEIGHT = 4.0
"""Without the gradients of the base's own matrices."""
SCORE_FLOPS_PER_WEIGHT = 2.0
SHARE_OF_PEAK = 0.25
CUDA_FLOPS = 2.0e14
GENERATION_SLOWDOWN = 10.0
"""Tokens that are generated one after the other leave most of a device idle."""
PROMPT_TOKENS = 200
BYTES_PER_WEIGHT = 4
WEIGHTS_PER_LAYER_WIDTH = 12 / 128
"""A transformer with 12 d^2 weights a layer and a width 128 times its depth has (12 / 128) d^3 weights."""
ADAPTED_PER_WIDTH = 1.5
"""All linear maps of a layer have about 18 d rows and columns on 12 d^2 weights: 1.5 / d for each unit of rank."""


@dataclass(frozen=True)
class Cost:
    """An estimate of the missing work. `rate` says in words what the time is based on.

    `gpu_hours` are for one GPU at `CUDA_FLOPS`, whatever this machine has. `tokens_alone` is what training every scored
    model for itself would take: one training for each run and epoch. Predicting the held-out examples after each epoch,
    `validation_tokens` in all, is counted in training; `validation_share` is its part of it, None where nothing is
    trained. `unknown_sizes` are bases that nothing tells the size of; their time and disk are in no total. `sizes` says
    where the others' come from.
    """

    train_tokens: int
    validation_tokens: int
    validation_share: float | None
    tokens_alone: int
    trainings: int
    models: int
    seconds: float
    device_hours: float
    train_device_hours: float
    train_gpu_hours: float
    evaluation_gpu_hours: float
    disk_bytes: int
    rate: str
    sizes: dict[str, BaseSize]

    @property
    def unknown_sizes(self) -> tuple[str, ...]:
        """Bases whose size nothing says."""
        return tuple(name for name, size in self.sizes.items() if size.num_weights is None)


@dataclass
class _Sum:
    tokens: int = 0
    validation_tokens: int = 0
    trainings: int = 0
    disk: float = 0.0
    train_seconds: float = 0.0
    score_seconds: float = 0.0
    train_flops: float = 0.0
    validation_flops: float = 0.0
    score_flops: float = 0.0


def estimate_cost(resolved: Resolved, jobs: tuple[Job, ...], store: Store, devices: tuple[Device, ...]) -> Cost:
    """Tokens, time with all devices at work, device-hours and disk of the missing work."""
    rates = _measured_rates(store)
    flops = _machine_flops(devices) if jobs and not (rates.weights_rate and rates.scores) else CUDA_FLOPS
    sizes = {base.base.name: base_size(base.base) for base in resolved.cells.bases}
    work = _ScoreWork(resolved.study, store)
    total = _Sum()
    probe_tokens = _probe_tokens(resolved)
    for job in jobs:
        base = job.base.base.name
        size = sizes[base].num_weights or 0
        for task in job.tasks:
            if isinstance(task.cell, RunCell):
                total.disk += _checkpoint_bytes(task.cell, size) * _kept_checkpoints(resolved, task.cell)
                if not task.trains:
                    continue
                tokens = train_tokens(resolved, task.cell)
                total.tokens += tokens
                total.trainings += 1
                needed = tokens * _train_flops_per_weight(task.cell.spec) * size
                held_out = round(resolved.drawn[task.identity].held_out / BYTES_PER_TOKEN * task.cell.spec.epochs)
                validation = held_out * SCORE_FLOPS_PER_WEIGHT * size
                total.validation_tokens += held_out
                total.validation_flops += validation
                total.train_flops += needed + validation
                # Seconds of finished runs have their validation in them.
                total.train_seconds += rates.train_seconds(base, tokens, size) or (needed + validation) / flops
            elif isinstance(task.cell, ScoreCell):
                needed = work.flops_per_weight(task.cell) * size
                total.score_flops += needed
                measured = rates.score_seconds(task.cell.benchmark_digest)
                total.score_seconds += needed / flops if measured is None else measured
            elif isinstance(task.cell, ProbeCell):
                needed = probe_tokens * SCORE_FLOPS_PER_WEIGHT * size
                total.score_flops += needed
                total.score_seconds += needed / flops if rates.probe_seconds is None else rates.probe_seconds
    models, alone = _models_alone(resolved, store)
    busy = total.train_seconds + total.score_seconds
    return Cost(
        train_tokens=total.tokens,
        validation_tokens=total.validation_tokens,
        validation_share=total.validation_flops / total.train_flops if total.train_flops else None,
        tokens_alone=alone,
        trainings=total.trainings,
        models=models,
        seconds=busy / len(devices),
        device_hours=busy / 3600,
        train_device_hours=total.train_seconds / 3600,
        train_gpu_hours=total.train_flops / CUDA_FLOPS / 3600,
        evaluation_gpu_hours=total.score_flops / CUDA_FLOPS / 3600,
        disk_bytes=round(total.disk),
        rate=_rate(rates, devices),
        sizes=sizes,
    )


def _rate(rates: "_Rates", devices: tuple[Device, ...]) -> str:
    if rates.train:
        return f"the rates of {rates.train_records} runs and {rates.score_records} scores in this store"
    if devices[0].kind == "cpu":
        return "the matrix rate of this machine, measured now: right within a factor of about 5"
    return f"an assumed {CUDA_FLOPS / 1e12:.0f} TFLOP/s: right within a factor of about 5"


def train_tokens(resolved: Resolved, run: RunCell) -> int:
    """Tokens of a whole training, every example as often as it is seen."""
    spec = run.spec
    seen = spec.epochs if spec.steps is None else spec.steps * spec.batch_size / spec.samples
    return round(resolved.drawn[run.identity].train / BYTES_PER_TOKEN * seen)


def _probe_tokens(resolved: Resolved) -> float:
    """Tokens of the texts that models are measured on; 0 where none are."""
    if not resolved.cells.probes:
        return 0.0
    return sum(len(text.text.encode()) for text in probe_texts(resolved.study.probe_texts)) / BYTES_PER_TOKEN


def _train_flops_per_weight(spec: RunSpec) -> float:
    return LORA_FLOPS_PER_WEIGHT if isinstance(spec.method, LowRank) else FULL_FLOPS_PER_WEIGHT


def _models_alone(resolved: Resolved, store: Store) -> tuple[int, int]:
    """How many models that are not yet there are scored, and the tokens of training each of them for itself."""
    cells = resolved.cells
    runs = {run.spec.run: run for run in cells.runs}
    missing = {cell.checkpoint: (cell.run, cell.epoch) for cell in cells.scores if not store.has(cell.identity)}
    models, tokens = 0, 0.0
    for name, epoch in missing.values():
        run = runs.get(name) if name is not None else None
        if run is not None and not store.has(run.identity):
            models += 1
            tokens += train_tokens(resolved, run) * epoch / run.spec.epochs
    return models, round(tokens)


class _ScoreWork:
    """Floating-point operations of scoring a model once, for each of its weights."""

    def __init__(self, study: Study, store: Store) -> None:
        self._items = BenchmarkItems(study.evaluation, store)
        self._known: dict[str, float] = {}

    def flops_per_weight(self, score: ScoreCell) -> float:
        """Prompts are read in batches; answers are generated token by token, at their full length."""
        key = score.benchmark_digest
        if key not in self._known:
            tokens = PROMPT_TOKENS + GENERATION_SLOWDOWN * self._items.outline(score.benchmark).new_tokens
            self._known[key] = SCORE_FLOPS_PER_WEIGHT * self._items.number(score.benchmark, key) * tokens
        return self._known[key]


def _checkpoint_bytes(run: RunCell, size: int) -> float:
    method = run.spec.method
    if not isinstance(method, LowRank):
        return float(size * BYTES_PER_WEIGHT)
    width = math.cbrt(size / WEIGHTS_PER_LAYER_WIDTH)
    return size * BYTES_PER_WEIGHT * min(1.0, ADAPTED_PER_WIDTH * method.rank / max(width, 1.0))


def _kept_checkpoints(resolved: Resolved, run: RunCell) -> int:
    return run.spec.epochs if resolved.study.checkpoints == "all" else 1


@dataclass(frozen=True)
class _Rates:
    train: Mapping[str, float]
    weights_rate: float
    scores: Mapping[str, float]
    train_records: int
    score_records: int
    probe_seconds: float | None

    def train_seconds(self, base: str, tokens: int, size: int) -> float | None:
        """Seconds of one worker: by this base's rate where it was measured, else by size; None where none was."""
        if base in self.train:
            return tokens / self.train[base]
        return tokens * size / self.weights_rate if self.weights_rate else None

    def score_seconds(self, benchmark_digest: str) -> float | None:
        """Mean seconds of a score of this benchmark, else of any; None where none was measured."""
        if benchmark_digest in self.scores:
            return self.scores[benchmark_digest]
        return sum(self.scores.values()) / len(self.scores) if self.scores else None


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
    probes = [cast("float", record.provenance["wall_seconds"]) for record in store.records("probe")]
    total_work, total_seconds = (sum(column) for column in zip(*work, strict=True)) if work else (0.0, 1.0)
    return _Rates(
        {base: sum(rates) / len(rates) for base, rates in tokens.items()},
        total_work / total_seconds,
        {key: sum(times) / len(times) for key, times in scores.items()},
        len(work),
        sum(len(times) for times in scores.values()),
        sum(probes) / len(probes) if probes else None,
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
            said = f"{needed:,.0f}" if needed >= 100 else f"{needed:.2f}"
            raise StudyError(
                f"the missing work is estimated at {said} {name}, and budget.{name} allows {limit:g}: "
                "make the study smaller or raise the budget"
            )

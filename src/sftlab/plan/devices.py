"""What this machine can compute on, found without importing torch."""

import itertools
import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from sftlab.errors import TrainingError
from sftlab.study.declaration import Precision

PROBE_SECONDS = 20


@dataclass(frozen=True)
class Device:
    """One place where one worker computes: a CUDA device, or one CPU core with one thread.

    `partners` are devices beside this one that every run is trained on as well.
    """

    kind: Literal["cpu", "cuda"]
    index: int
    name: str
    memory_bytes: int | None
    partners: tuple["Device", ...] = ()

    @property
    def torch_name(self) -> str:
        """The name torch knows it by."""
        return "cpu" if self.kind == "cpu" else f"cuda:{self.index}"


@cache
def devices() -> tuple[Device, ...]:
    """Every CUDA device, else every CPU core this process may use."""
    return _cuda_devices() or tuple(
        Device("cpu", index, _cpu_name(), None) for index in range(len(os.sched_getaffinity(0)))
    )


def grouped(found: tuple[Device, ...], devices_per_run: int) -> tuple[Device, ...]:
    """The first of every so many devices, the others as its partners; what is left over is not used.

    Cores of a CPU are used more than once where there are too few. Raises TrainingError for GPUs.
    """
    if devices_per_run > len(found):
        if found[0].kind == "cuda":
            raise TrainingError(f"--devices-per-run {devices_per_run}: this machine has {len(found)} GPUs")
        found = tuple(itertools.islice(itertools.cycle(found), devices_per_run))
    starts = range(0, len(found) - devices_per_run + 1, devices_per_run)
    return tuple(replace(found[start], partners=found[start + 1 : start + devices_per_run]) for start in starts)


def default_precision() -> Precision:
    """Float32 on CPU; float32 master weights with bfloat16 compute on CUDA."""
    kind = devices()[0].kind
    return Precision(weights="float32", compute="bfloat16" if kind == "cuda" else "float32")


def _cuda_devices() -> tuple[Device, ...]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    program = shutil.which("nvidia-smi")
    if program is None or visible == "":
        return ()
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=PROBE_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = [line.rsplit(",", 1) for line in answer.splitlines() if "," in line]
    if visible is not None:
        rows = rows[: len([part for part in visible.split(",") if part.strip()])]
    return tuple(
        Device("cuda", index, name.strip(), int(float(memory)) * 2**20) for index, (name, memory) in enumerate(rows)
    )


@cache
def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        import platform

        return platform.processor() or platform.machine()

"""What a run holds in memory beside its activations, estimated from its recipe and the number of weights."""

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sftlab.plan.base_size import BaseSize
from sftlab.plan.cost import ADAPTED_PER_WIDTH, WEIGHTS_PER_LAYER_WIDTH
from sftlab.plan.devices import Device
from sftlab.plan.tasks import Job
from sftlab.study.cells import RunCell
from sftlab.study.methods import Full, Lora, LowRank, Method, Qlora
from sftlab.study.run import RunSpec

BYTES = {"float32": 4, "bfloat16": 2}
MOMENTS = 2
EIGHT_BIT_BYTES = 1 + 4 / 256
"""A byte, and its share in the scale of a block."""
FOUR_BIT_BYTES = {True: 0.5 + 1 / 64, False: 0.5 + 4 / 64}
"""With and without quantised scales of blocks of 64."""
VOCABULARY = 1.0e5
"""Rows of the embedding and of the head, which stay as they are: as many as large models have."""


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes of weights, gradients and moments: on the device at most, and in the host's memory with the base's copy."""

    device_bytes: int
    host_bytes: int

    def on(self, device: Device) -> int:
        """Bytes of the device's own memory; of a CPU's it is all the same memory."""
        return self.device_bytes if device.kind == "cuda" else self.device_bytes + self.host_bytes


@dataclass(frozen=True)
class LargestRun:
    """The run that holds most on its device, the number of weights of its base, and what it holds."""

    spec: RunSpec
    num_weights: int
    need: MemoryNeed

    def fitting_changes(self, devices: tuple[Device, ...]) -> dict[str, int]:
        """Changes of its method with which it fits on one of these devices, and the bytes it would hold then.

        What gives the same result stands first, then what trains the same weights.
        """
        own, changed = self.spec.method, dict[str, Method]()
        if isinstance(own, Full):
            offloaded, eight_bit = {"offload": "optimizer", "optimizer": "adamw"}, {"optimizer": "adamw_8bit"}
            changed["offload: optimizer"] = own.model_copy(update=offloaded)
            changed["optimizer: adamw_8bit"] = own.model_copy(update={"offload": "none", **eight_bit})
            changed["adapter: lora"] = Lora(adapter="lora")
        changed["adapter: qlora"] = Qlora(adapter="qlora")
        needs = {
            words: memory_need(self.spec.model_copy(update={"method": method}), self.num_weights).on(devices[0])
            for words, method in changed.items()
            if method != own
        }
        return {words: need for words, need in needs.items() if need <= room_on(devices)}


def room_on(devices: tuple[Device, ...]) -> int:
    """Bytes that one worker has: those of its GPU, or its share of this machine's memory."""
    known = devices[0].memory_bytes
    return known if known is not None else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // len(devices)


def largest_run(jobs: tuple[Job, ...], sizes: Mapping[str, BaseSize]) -> LargestRun | None:
    """Of the runs still to be trained; None where there is none, or no base's size is known.

    Activations come on top: passes are made smaller, and activations recomputed, until they fit.
    """
    return max(_runs(jobs, sizes), key=lambda run: run.need.device_bytes, default=None)


def memory_need(spec: RunSpec, num_weights: int) -> MemoryNeed:
    """What a run holds of a base of so many weights.

    Full, in float32: 4 bytes a weight, 4 of its gradient and 8 of moments (2 in eight bits); offloaded the weights
    alone, which are whole on the device when the run begins and ends. The base's untouched copy is on the host.
    """
    each = BYTES[spec.precision.weights]
    method = spec.method
    if isinstance(method, LowRank):
        return _low_rank_need(spec, method, num_weights)
    trained = num_weights * _share_in_band(method)
    moments = EIGHT_BIT_BYTES if method.optimizer == "adamw_8bit" else each
    stepped = trained * (each + MOMENTS * moments)
    copy = num_weights * each
    if method.offload == "optimizer":
        return MemoryNeed(round(copy), round(copy + trained * each + stepped))
    return MemoryNeed(round(copy + stepped), round(copy))


def _low_rank_need(spec: RunSpec, method: LowRank, num_weights: int) -> MemoryNeed:
    each = BYTES[spec.precision.weights]
    width = max(math.cbrt(num_weights / WEIGHTS_PER_LAYER_WIDTH), 1.0)
    adapter = num_weights * min(1.0, ADAPTED_PER_WIDTH * method.rank / width) * 4 * (1 + 1 + MOMENTS)
    if method.quantisation is None:
        return MemoryNeed(round(num_weights * each + adapter), num_weights * each)
    rows = min(2 * VOCABULARY * width, num_weights / 2)
    packed = (num_weights - rows) * FOUR_BIT_BYTES[method.quantisation.double]
    return MemoryNeed(round(packed + rows * each + adapter), num_weights * each)


def _share_in_band(method: Full) -> float:
    return 1.0 if method.layers is None else method.layers[1] - method.layers[0]


def _runs(jobs: tuple[Job, ...], sizes: Mapping[str, BaseSize]) -> Iterator[LargestRun]:
    for job in jobs:
        num_weights = sizes[job.base.base.name].num_weights
        for task in job.tasks:
            if isinstance(task.cell, RunCell) and task.trains and num_weights is not None:
                yield LargestRun(task.cell.spec, num_weights, memory_need(task.cell.spec, num_weights))

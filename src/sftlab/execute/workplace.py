"""Where a worker does its tasks: one device, one store, and the base that is in memory."""

import gc
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sftlab.benchmarks.item import Benchmark
from sftlab.benchmarks.sandbox import keep_verdicts
from sftlab.errors import DataError, ModelError, TrainingError
from sftlab.execute.event import Event, Moved
from sftlab.plan.contents import Contents
from sftlab.plan.devices import Device
from sftlab.plan.resolve import Resolved
from sftlab.plan.tasks import Job
from sftlab.store import Store
from sftlab.study.cells import BaseCell, RunCell
from sftlab.study.declaration import Precision
from sftlab.study.methods import Quantisation

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

    from sftlab.execute.engines import Serving
    from sftlab.execute.writing_ahead import WrittenAhead
    from sftlab.lm.base import LoadedBase
    from sftlab.train.run import TrainedRun

MICRO_BATCH_TOKENS = {"cpu": 4096, "cuda": 32768}
SCORE_BATCH_TOKENS = {"cpu": 8192, "cuda": 131072}
REPORT_SECONDS = 0.5
SMALL_BASES_BYTES = 2**28
"""Bases stay in a CPU's memory as long as those that are there take less, with the copies they are reset from."""


_Held = tuple[str, Precision, Quantisation | None]
"""What tells bases in memory apart: the base's digest, and how its weights are held."""


@dataclass(frozen=True)
class Manner:
    """How workers go about it: whether they only try things out, and whether only deterministic kernels are used."""

    smoke: bool = False
    deterministic: bool = False


@dataclass(frozen=True)
class Setup:
    """What a worker is given once: the study, the store, its device, and how to go about it."""

    resolved: Resolved
    store_root: Path
    device: Device
    worker: int
    manner: Manner = Manner()


class AllDevices(Protocol):
    """Whatever trains runs on all devices of a worker that has several."""

    def train(self, job: Job, cell: RunCell, tell: Callable[[Event], None]) -> "TrainedRun":
        """Train a run; its checkpoints and its state are in the store."""
        ...

    def stop(self) -> None:
        """Let the devices go until the next run."""
        ...


class Workplace:
    """What the steps work with; keeps the base loaded between tasks.

    With a `mesh` it is one of several that share every base among their devices. `all_devices` is there where the
    worker has more devices than the one that it scores and measures on.
    """

    def __init__(self, setup: Setup, tell: Callable[[Event], None], *, mesh: "DeviceMesh | None" = None) -> None:
        self.setup = setup
        self.store = Store(setup.store_root)
        keep_verdicts(self.store.programs_folder)
        self.tell = tell
        self._mesh = mesh
        self.all_devices: AllDevices | None = None
        self._loaded: dict[_Held, LoadedBase] = {}
        self._current: _Held | None = None
        self.benchmarks: dict[tuple[str, str], Benchmark] = {}
        self._verified: set[str] = set()
        self._tokens = 0
        self._told_at = 0.0
        self.serving: Serving | None = None
        self.written: WrittenAhead | None = None
        self._passes: tuple[tuple[str, Precision, str], dict[str, object]] | None = None
        if setup.manner.deterministic:
            # cuBLAS reads it when CUDA starts.
            os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"

    @cached_property
    def environment(self) -> dict[str, object]:
        """Provenance that is the same for all of this worker's records."""
        packages = {name: version(name) for name in ("sftlab", "torch", "transformers")}
        device = self.setup.device
        number = f"{1 + len(device.partners)} x " if device.partners else ""
        about = {"device": f"{number}{device.kind}: {device.name}", "host": platform.node(), "versions": packages}
        return {**about, "deterministic": self.setup.manner.deterministic}

    def moved(self, share: float, tokens: int) -> None:
        """Tell of progress, a few times a second at most."""
        self._tokens += tokens
        now = time.monotonic()
        if now - self._told_at >= REPORT_SECONDS or share >= 1:
            self.tell(Moved(self.setup.worker, share, self._tokens))
            self._tokens, self._told_at = 0, now

    def model(self, base: BaseCell, precision: Precision, *, quantisation: Quantisation | None = None) -> "LoadedBase":
        """The base, loaded now or before; its files are hashed again before the first use.

        Small bases stay in memory together, for work goes from one to the next and back.
        """
        wanted = (base.digest, precision, quantisation)
        if wanted not in self._loaded:
            self.stop_serving()
            import torch

            if self.setup.device.kind == "cpu":
                torch.set_num_threads(1)
            torch.use_deterministic_algorithms(self.setup.manner.deterministic)
            self._make_room()
            self._verify_base(base)
            self._loaded[wanted] = self._load(base, precision, quantisation)
        self._current = wanted
        return self._loaded[wanted]

    def _load(self, base: BaseCell, precision: Precision, quantisation: Quantisation | None) -> "LoadedBase":
        from sftlab.lm.base import load_base
        from sftlab.lm.measured_kernel import fastest_kernel, kernel_cache, packed_kernel

        device = self.setup.device
        if self._mesh is not None and quantisation is not None:
            raise TrainingError("quantised weights cannot be parted among devices: --devices-per-run is 1 for them")
        loaded = load_base(
            base.base,
            device=device.torch_name if self._mesh is None else "cpu",
            precision=precision,
            quantisation=quantisation,
        )
        if self._mesh is not None and device.kind == "cuda":
            loaded.kernel = packed_kernel(loaded)
        else:
            loaded.kernel = fastest_kernel(loaded, machine=device.name, cache=kernel_cache())
        if self._mesh is not None:
            from sftlab.lm.sharding import shard

            shard(loaded, self._mesh)
            loaded.kernel = loaded.ranks.agreed(loaded.kernel)
        return loaded

    def model_at(self, job: Job, epoch: int, precision: Precision) -> "LoadedBase":
        """The job's model with the weights of an epoch, as they are on disk; epoch 0 is the base."""
        loaded = self.model(
            job.base, precision, quantisation=None if job.run is None else job.run.spec.method.quantisation
        )
        label = None if job.run is None else job.run.checkpoint(epoch)
        if loaded.holding != label:
            loaded.reset()
            if job.run is not None:
                loaded.load_checkpoint(self.store.checkpoint_folder(job.run.trajectory, epoch))
            loaded.holding = label
        return loaded

    def known_passes(self, key: tuple[str, Precision, str]) -> dict[str, object]:
        """What forward passes over one base and one set of token arrays gave, kept until others are asked for."""
        if self._passes is None or self._passes[0] != key:
            self._passes = (key, {})
        return self._passes[1]

    def dataset_contents(self, names: tuple[str, ...]) -> dict[str, str]:
        """Content digests of datasets, hashed again before their first use. Raises DataError if one has changed."""
        contents = Contents(self.store)
        for name in names:
            known = self.setup.resolved.dataset_digests[name]
            if known not in self._verified:
                if contents.dataset(self.setup.resolved.study.datasets[name], fresh=True) != known:
                    raise DataError(f"the dataset {name} was changed after this run was planned: run again")
                self._verified.add(known)
        return {name: self.setup.resolved.dataset_digests[name] for name in names}

    def _verify_base(self, base: BaseCell) -> None:
        now = Contents(self.store).base(base.base, fresh=True)
        if (now.digest, now.tokenizer_digest) != (base.digest, base.tokenizer_digest):
            raise ModelError(f"the base {base.base.name} was changed after this run was planned: run again")

    def forget_model(self) -> None:
        """Let go of the base that was used last, whose state is no longer known."""
        if self._current is not None and self._loaded.pop(self._current, None) is not None:
            self._free_memory()

    def forget_all_models(self) -> None:
        """Let go of all bases, for an engine that needs the memory."""
        self._loaded.clear()
        self._free_memory()

    def stop_serving(self) -> None:
        """End the engine that answers in place of this worker's model, if there is one."""
        serving, self.serving = self.serving, None
        if serving is not None:
            serving.stop()

    def _make_room(self) -> None:
        """Let go of all bases in memory where another might be too much."""
        room = SMALL_BASES_BYTES if self.setup.device.kind == "cpu" and self._mesh is None else 0
        if self._loaded and sum(loaded.num_bytes for loaded in self._loaded.values()) >= room:
            self.forget_all_models()

    def _free_memory(self) -> None:
        gc.collect()
        if self.setup.device.kind == "cuda":
            import torch

            with suppress(RuntimeError):
                torch.cuda.empty_cache()

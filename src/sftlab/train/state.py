"""What an unfinished run needs to go on from where it was."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sftlab.lm.ranks import Ranks
from sftlab.store.segment import sync_folder
from sftlab.train.optimizer import kept_moments


@dataclass
class Log:
    """Raw rows and counts of a run so far; every value is plain, so that it survives being written as JSON.

    `kernel` are the fields of the kernel that a process alone on a CPU computed with, with which it is to go on.
    """

    epoch: int = 0
    step: int = 0
    wall_seconds: float = 0.0
    seconds_by_epoch: list[float] = field(default_factory=list)
    peak_memory_bytes: int = 0
    micro_tokens: int = 0
    checkpointing: bool = False
    kernel: dict[str, Any] | None = None
    events: list[str] = field(default_factory=list)
    unfit: list[int] = field(default_factory=list)
    losses: list[dict[str, Any]] = field(default_factory=list)
    validation: list[dict[str, Any]] = field(default_factory=list)
    layers: list[dict[str, Any]] = field(default_factory=list)
    checkpoints: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Resumable:
    """A state as it was read: the log, the trained parameters by name, and the optimizer's moments, if kept."""

    log: Log
    tensors: dict[str, Tensor]


def state_tensors(
    parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer | None, *, ranks: Ranks
) -> dict[str, Tensor]:
    """The trained parameters and the optimizer's moments, whole, on the CPU of the first rank; see `Ranks.gathered`."""
    tensors: list[tuple[str, Tensor]] = [(f"weight:{name}", weight) for name, weight in parameters.items()]
    if optimizer is not None:
        tensors.extend(
            (f"{quantity}:{name}", value)
            for name, weight in parameters.items()
            for quantity, value in kept_moments(optimizer, weight).items()
        )
    return ranks.gathered(tensors)


def write_state(working: Path, key: str, log: Log, tensors: Mapping[str, Tensor]) -> None:
    """Keep the state after a step, whole or not at all, in place of the one before.

    `key` is the digest of what is trained on what: a state is never taken up by another run.
    """
    from safetensors.torch import save_file

    working.mkdir(parents=True, exist_ok=True)
    temporary = working / f".step-{log.step}.{os.getpid()}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    save_file(dict(tensors), temporary / "state.safetensors")
    (temporary / "log.json").write_text(json.dumps({"key": key, "log": asdict(log)}, allow_nan=False))
    target = working / f"step-{log.step}"
    replace_folder(temporary, target)
    for older in working.iterdir():
        if older != target:
            shutil.rmtree(older, ignore_errors=True)


def read_state(working: Path, key: str) -> Resumable | None:
    """The last whole state of this run, or None where there is none."""
    from safetensors.torch import load_file

    folders = sorted(working.glob("step-*"), key=lambda folder: int(folder.name.removeprefix("step-")))
    if not folders:
        return None
    written = json.loads((folders[-1] / "log.json").read_text())
    if written["key"] != key:
        return None
    return Resumable(Log(**written["log"]), load_file(folders[-1] / "state.safetensors"))


def restore(
    state: Resumable, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, *, ranks: Ranks
) -> None:
    """Put the parameters and the optimizer back to where they were, whatever the number of ranks then and now."""
    kept: dict[str, dict[str, Tensor]] = {}
    for key, value in state.tensors.items():
        quantity, name = key.split(":", 1)
        kept.setdefault(name, {})[quantity] = value
    trained = [weight for group in optimizer.param_groups for weight in group["params"]]
    place = {id(weight): number for number, weight in enumerate(trained)}
    with torch.no_grad():
        for name, weight in parameters.items():
            ranks.fill(weight, kept[name].pop("weight"))
    moments = {
        place[id(weight)]: {quantity: ranks.own_like(weight, value) for quantity, value in kept[name].items()}
        for name, weight in parameters.items()
        if kept[name]
    }
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})


def replace_folder(temporary: Path, target: Path) -> None:
    """Sync a folder's files to disk and give it its name, in place of what had that name."""
    for path in temporary.iterdir():
        # safetensors makes files for their owner alone; a server may run as somebody else.
        path.chmod(0o644)
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(temporary)
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary.rename(target)
    sync_folder(target.parent)

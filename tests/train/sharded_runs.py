"""Runs that two processes share, and how they are started: `python -m tests.train.sharded_runs` is one of the two."""

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from sftlab.lm.base import LoadedBase
from sftlab.lm.sharding import meet, shard
from sftlab.study.methods import Full
from sftlab.train import TrainedRun, optimizer_step, session
from sftlab.train.memory_note import OutOfStepError
from tests.lm.models import load
from tests.train.runs import FULL, LORA, data, spec, train

REPOSITORY = Path(__file__).resolve().parents[2]
COUNT = 41
"""Examples: five batches of eight, and one left over, of which the second process has no part."""
MICRO_TOKENS = 100
"""Several passes a step."""

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "full": ("llama", {"method": FULL}),
    "lora": ("llama", {"method": LORA}),
    "checkpointing": (
        "gpt2",
        {"method": FULL.model_copy(update={"gradient_checkpointing": True, "decay": "matrices"})},
    ),
    "sequence": ("neox", {"method": FULL.model_copy(update={"reduction": "sequence", "max_grad_norm": 0.5})}),
    "band": ("llama", {"method": Full(learning_rate=3e-3, batch_size=8, layers=(0.5, 1.0))}),
}
KINDS = ("llama", "gpt2", "neox")
RESUMED = ("full", "lora")
CUT_AT = 8
OUT_OF_MEMORY = 3


class InterruptedRunError(Exception):
    pass


def one_run(case: str, bases: Path, folder: Path, base: LoadedBase | None = None, **control: Any) -> TrainedRun:
    """One of the cases, by this process or, with a base that is shared, by this one and another."""
    kind, changes = CASES[case]
    base = base or load(bases, kind)
    settings = {"max_micro_tokens": MICRO_TOKENS, **control}
    return train(base, spec(**changes), data(base, folder, count=COUNT), folder / case, **settings)


def cut_run(case: str, bases: Path, folder: Path, base: LoadedBase | None = None) -> None:
    """The same, until it is interrupted inside its second epoch; its state is kept at every step."""

    def interrupt(progress) -> None:
        if progress.step == CUT_AT:
            raise InterruptedRunError

    session.KEEP_SHARE = 1e9
    try:
        one_run(case, bases, folder, base, on_progress=interrupt, keep_seconds=0)
    except InterruptedRunError:
        return
    raise AssertionError("not interrupted")


def together(part: str, bases: Path, folder: Path) -> list[int]:
    """Start two processes on this part of the work and wait for both; their exit codes.

    When one fails the other is ended, as the worker of a study does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meeting").unlink(missing_ok=True)
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "OMP_NUM_THREADS": "1",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.train.sharded_runs", part, str(bases), str(folder), str(index)],
            env=environment,
        )
        for index in range(2)
    ]
    try:
        while any(process.poll() is None for process in started) and not any(process.poll() for process in started):
            time.sleep(0.05)
        # The other one may be about to fail for a reason of its own.
        time.sleep(0.2)
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
    return [process.wait() for process in started]


def answer(folder: Path, case: str) -> TrainedRun:
    """What came of a case that two processes shared."""
    return TrainedRun(**pickle.loads((folder / f"{case}.pickle").read_bytes()))


def _cases(mesh, index: int, bases: Path, folder: Path) -> None:
    shared: dict[str, LoadedBase] = {}
    for kind in KINDS:
        shared[kind] = load(bases, kind)
        shard(shared[kind], mesh)
    for case in RESUMED:
        cut_run(case, bases, folder / "cut-by-two", shared["llama"])
        _keep(folder, index, f"after-one-{case}", one_run(case, bases, folder / "cut-by-one", shared["llama"]))
    for case, (kind, _) in CASES.items():
        _keep(folder, index, case, one_run(case, bases, folder, shared[kind]))
    _cramped(mesh, index, bases, folder)


def _cramped(mesh, index: int, bases: Path, folder: Path) -> None:
    """Memory runs out on the second process alone."""
    whole = optimizer_step.token_losses

    def limited(base, batch, *, plain_head):
        if index == 1 and batch.ids.numel() > 60:
            raise torch.OutOfMemoryError("out of memory on purpose")
        return whole(base, batch, plain_head=plain_head)

    optimizer_step.token_losses = limited
    base = load(bases, "llama")
    shard(base, mesh)
    try:
        _keep(folder, index, "cramped", one_run("full", bases, folder / "cramped", base))
    except OutOfStepError:
        sys.stdout.flush()
        os._exit(OUT_OF_MEMORY)


def _keep(folder: Path, index: int, case: str, trained: TrainedRun) -> None:
    if index == 0:
        (folder / f"{case}.pickle").write_bytes(pickle.dumps(vars(trained)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    part, bases, folder, index = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    mesh = meet(folder / "meeting", index=index, count=2, device="cpu")
    {"cases": _cases, "cramped": _cramped}[part](mesh, index, bases, folder)
    torch.distributed.destroy_process_group()

"""One fine-tuning run, from its specification to its checkpoints."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
import torch

from sftlab.lm.base import LoadedBase
from sftlab.measure.weight_change import SCHEMA as CHANGE_SCHEMA
from sftlab.study.run import RunSpec
from sftlab.train.inputs import RunData, RunFiles, TrainControl
from sftlab.train.preflight import validate_run
from sftlab.train.session import Session
from sftlab.train.state import Log

SCHEMAS: dict[str, dict[str, type[pl.DataType]]] = {
    "losses": {
        "step": pl.Int64,
        "epoch": pl.Int64,
        "loss": pl.Float64,
        "learning_rate": pl.Float64,
        "grad_norm": pl.Float64,
        "tokens": pl.Int64,
        "learned_tokens": pl.Int64,
    },
    "validation": {
        "epoch": pl.Int64,
        "loss": pl.Float64,
        "bits_per_byte": pl.Float64,
        "se": pl.Float64,
        "n": pl.Int64,
        "num_tokens": pl.Int64,
    },
    "layers": {"epoch": pl.Int64, **CHANGE_SCHEMA},
    "checkpoints": {"epoch": pl.Int64, "num_bytes": pl.Int64},
}


@dataclass(frozen=True)
class TrainedRun:
    """Plain values of a finished run, and its raw rows by table (`losses`, `validation`, `layers`, `checkpoints`).

    `kernel` is what it was computed with, in words.
    """

    result: Mapping[str, object]
    rows: Mapping[str, pl.DataFrame]
    kernel: str


def train_run(
    loaded: LoadedBase, spec: RunSpec, data: RunData, *, files: RunFiles, control: TrainControl
) -> TrainedRun:
    """Fine-tune a base as the specification says; it holds the tuned weights afterwards, unless several ranks share it.

    The loss of an optimizer step is the summed negative log-likelihood of its learned tokens divided by their number
    in the whole step (or, with `reduction: sequence`, the mean over its examples of their own means). After each epoch
    the run is measured and its checkpoint written; its state is kept then and in between: killed at any moment and
    called again it goes on from there, on one CPU to bitwise the same weights and rows. The caller removes
    `files.working` when it has kept the result. Ranks that share the base all call it with the same arguments; the
    result of the first one counts. Raises TrainingError where nothing can be learned or the loss is not finite, and of
    several ranks OutOfStepError where one ran out of memory: all are to be started and called again.
    """
    validate_run(loaded, spec, data.train)
    if loaded.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(loaded.device)
    session = Session(loaded, spec, data, files=files, control=control)
    try:
        log = session.run()
    except BaseException:
        # Ranks end with their run; one that misses another in the middle of a pass cannot be put in order either.
        if loaded.ranks.count == 1:
            session.release()
            loaded.reset()
        raise
    session.release()
    rows = {name: pl.DataFrame(getattr(log, name), schema=schema) for name, schema in SCHEMAS.items()}
    return TrainedRun(_result(log, data), rows, session.kernel.about)


def _result(log: Log, data: RunData) -> dict[str, object]:
    encoded = data.train
    return {
        "examples": len(encoded),
        "dropped": len(encoded.dropped),
        "truncated": encoded.truncated,
        "steps": log.step,
        "tokens": sum(row["tokens"] for row in log.losses),
        "learned_tokens": sum(row["learned_tokens"] for row in log.losses),
        "loss_first": log.losses[0]["loss"],
        "loss_last": log.losses[-1]["loss"],
        "wall_seconds": log.wall_seconds,
        "seconds_by_epoch": log.seconds_by_epoch,
        "peak_memory_bytes": log.peak_memory_bytes,
        "unfit": len(log.unfit),
        "events": log.events,
    }

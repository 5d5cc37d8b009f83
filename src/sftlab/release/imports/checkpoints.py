"""Output folders of other trainers (transformers, TRL, axolotl) as a study file that evaluates and measures them."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from sftlab.errors import DataError, StudyError
from sftlab.plan.adoption import checkpoint_folders
from sftlab.store import write_atomically

STATE = "trainer_state.json"
T = TypeVar("T")
MOST_SCHEDULE_ERROR = 0.02
"""Of the peak rate: how far a logged schedule may lie beside its formula."""


@dataclass(frozen=True)
class TrainedFolder:
    """One trainer's output, with what its log says of the recipe; None: the log does not say."""

    name: str
    folder: Path
    learning_rate: float | None
    schedule: str | None
    examples_seen_per_sample: float | None
    steps: int | None


@dataclass(frozen=True)
class Stated:
    """What the user says of all imported runs, where the logs do not, or against them."""

    base: str
    samples: int | None = None
    dataset: str | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    schedule: str | None = None


def trained_folders(folder: Path) -> tuple[TrainedFolder, ...]:
    """A trainer's output folder, or every one that lies in a folder. Raises DataError where there is none."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; name a trainer's output folder, or a folder of such folders")
    candidates = [folder] if _is_output(folder) else sorted(path for path in folder.iterdir() if _is_output(path))
    if not candidates:
        raise DataError(
            f"{folder} holds no checkpoints: name a trainer's output folder (with checkpoint-N, or a model with "
            ".safetensors), or a folder of such folders"
        )
    return tuple(_described(path) for path in candidates)


def study_of_checkpoints(folders: Sequence[TrainedFolder], stated: Stated, *, benchmarks: Sequence[object]) -> str:
    """The text of a study file with these runs. Raises StudyError for what neither log nor user says."""
    base = Path(stated.base)
    model = str(base.resolve()) if base.is_dir() else stated.base
    name = base.name
    trained = {one.name: _run(one, name, stated) for one in folders}
    content: dict[str, object] = {
        "study": "trained-elsewhere",
        "bases": [{"name": name, "model": model}],
        "trained": trained,
        "checkpoints": "all",
        "measures": ["weight_change"],
        "evaluation": {"benchmarks": list(benchmarks), "score_epochs": "all"},
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def write_study(text: str, target: Path) -> None:
    """Write the file; never over another. Raises StudyError where there is one."""
    if target.exists():
        raise StudyError(f"{target} exists already: name another file with `--to`")
    write_atomically(target, text.encode())


def _is_output(path: Path) -> bool:
    return path.is_dir() and (any(path.glob("checkpoint-*/*.safetensors")) or any(path.glob("*.safetensors")))


def _described(path: Path) -> TrainedFolder:
    state = _state(checkpoint_folders(path)[-1] / STATE)
    history = [entry for entry in state.get("log_history", ()) if isinstance(entry, Mapping)]
    rates = [
        (float(entry["step"]), float(entry["learning_rate"]))
        for entry in history
        if isinstance(entry.get("learning_rate"), int | float) and isinstance(entry.get("step"), int)
    ]
    steps, epoch = state.get("global_step"), state.get("epoch")
    seen = float(epoch) if isinstance(epoch, int | float) and epoch > 0 else None
    most = state.get("max_steps")
    fitted = _schedule(rates, float(most)) if isinstance(most, int) and most > 0 else None
    schedule, peak = fitted or (None, max((rate for _, rate in rates), default=None))
    return TrainedFolder(path.name, path, peak or None, schedule, seen, steps if isinstance(steps, int) else None)


def _state(path: Path) -> dict[str, Any]:
    try:
        state = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


FORMULAS: Mapping[str, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "linear": lambda share: 1.0 - share,
    "cosine": lambda share: 0.5 * (1.0 + math.cos(math.pi * share)),
}


def _schedule(rates: Sequence[tuple[float, float]], most: float) -> tuple[str, float] | None:
    """The schedule whose formula the logged rates follow once they fall, and its peak, where just one does.

    A trainer logs with a step the rate that it was taken at, or that of the next one: either may fit.
    """
    highest = max((rate for _, rate in rates), default=0.0)
    after = rates[next((place for place, (_, rate) in enumerate(rates) if rate == highest), 0) :]
    if highest <= 0 or len(after) < 3 or after[0][0] > most:
        return None
    warmup = after[0][0] - 1
    fitting: dict[str, float] = {}
    for name, formula in FORMULAS.items():
        for taken_at in (1, 0):
            expected = [formula((step - taken_at - warmup) / (most - warmup)) for step, _ in after]
            peak = highest / expected[0] if expected[0] > 0 else math.inf
            found = zip(expected, after, strict=True)
            if all(abs(rate / peak - share) <= MOST_SCHEDULE_ERROR for share, (_, rate) in found):
                fitting.setdefault(name, peak)
    return next(iter(fitting.items())) if len(fitting) == 1 else None


def _run(one: TrainedFolder, base: str, stated: Stated) -> dict[str, object]:
    samples = _known(stated.samples, "samples", one)
    batch = stated.batch_size
    if batch is None and one.examples_seen_per_sample and one.steps:
        batch = max(1, round(samples * one.examples_seen_per_sample / one.steps))
    return {
        "base": base,
        "folder": str(one.folder.resolve()),
        "dataset": stated.dataset or one.name,
        "samples": samples,
        "learning_rate": _known(stated.learning_rate or one.learning_rate, "learning-rate", one),
        "batch_size": _known(batch, "batch-size", one),
        "schedule": _known(stated.schedule or one.schedule, "schedule", one),
    }


def _known(value: T | None, option: str, one: TrainedFolder) -> T:
    if value is None:
        raise StudyError(f"nothing in {one.folder} says the {option} of this run: state it with --{option}")
    return value

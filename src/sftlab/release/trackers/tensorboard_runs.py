"""TensorBoard: one folder of event files a run."""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from sftlab.release.curves import Curves

EVENTS = "events.out.tfevents.*"


def write(study: str, curves: Iterable[Curves], folder: Path) -> int:
    """Event files in `folder`/STUDY/RUN, in place of those of an earlier call; returns the number of runs."""
    writer_module: Any = import_module("torch.utils.tensorboard")
    count = 0
    for one in curves:
        target = folder / study / one.run
        for earlier in target.glob(EVENTS):
            earlier.unlink()
        with writer_module.SummaryWriter(str(target)) as writer:
            writer.add_text("recipe", "  \n".join(f"{name}: {value}" for name, value in one.recipe.items()))
            for point in one.points:
                for name, value in point.values.items():
                    writer.add_scalar(name, value, point.step)
        count += 1
    return count

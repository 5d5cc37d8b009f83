"""Weights & Biases: offline runs, which `wandb sync` uploads when somebody wants that."""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from sftlab.release.curves import Curves

ID_DIGITS = 16


def write(study: str, curves: Iterable[Curves], folder: Path) -> int:
    """Offline runs in `folder`/wandb, project STUDY, group = dataset; returns the number of runs.

    A run's id is of its identity, so that what is synchronised again goes to the same run.
    """
    wandb: Any = import_module("wandb")
    # Neither its own lines on the screen, nor what is on it otherwise, nor the load of this machine meanwhile.
    quiet = wandb.Settings(silent=True, console="off", x_disable_stats=True)
    count = 0
    for one in curves:
        run = wandb.init(
            project=study,
            name=one.run,
            id=one.identity[:ID_DIGITS],
            group=str(one.recipe["dataset"]),
            config=dict(one.recipe),
            dir=str(folder),
            mode="offline",
            settings=quiet,
        )
        for point in one.points:
            run.log(dict(point.values), step=point.step)
        run.finish()
        count += 1
    # The process that writes the files lags behind the runs.
    wandb.teardown()
    return count

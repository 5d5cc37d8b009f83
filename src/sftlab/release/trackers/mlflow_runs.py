"""MLflow: runs in a local tracking store."""

import time
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from sftlab.release.curves import Curves

DATABASE = "mlflow.db"
BATCH = 1000
"""Metrics in one request: what MLflow takes at most."""
IDENTITY = "sftlab.identity"


def write(study: str, curves: Iterable[Curves], folder: Path) -> int:
    """Runs of the experiment STUDY in `folder`/mlflow.db; returns the number of runs.

    A run that an earlier call has written, told by its identity, takes the place of that one.
    """
    mlflow: Any = import_module("mlflow")
    entities: Any = import_module("mlflow.entities")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder.resolve() / DATABASE}")
    known = client.get_experiment_by_name(study)
    experiment = (
        known.experiment_id
        if known is not None
        else client.create_experiment(study, artifact_location=(folder.resolve() / "artifacts").as_uri())
    )
    count = 0
    for one in curves:
        for earlier in client.search_runs([experiment], f"tags.`{IDENTITY}` = '{one.identity}'"):
            client.delete_run(earlier.info.run_id)
        run = client.create_run(experiment, run_name=one.run, tags={IDENTITY: one.identity}).info.run_id
        now = int(time.time() * 1000)
        metrics = [
            entities.Metric(name, value, now, point.step)
            for point in one.points
            for name, value in point.values.items()
        ]
        client.log_batch(run, params=[entities.Param(name, str(value)) for name, value in one.recipe.items()])
        for start in range(0, len(metrics), BATCH):
            client.log_batch(run, metrics=metrics[start : start + BATCH])
        client.set_terminated(run)
        count += 1
    return count

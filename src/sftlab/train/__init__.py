"""From a run's specification to its checkpoints, and what is measured while they are in memory."""

from sftlab.train.inputs import Progress, RunData, RunFiles, TrainControl
from sftlab.train.preflight import validate_run
from sftlab.train.run import TrainedRun, train_run

__all__ = ["Progress", "RunData", "RunFiles", "TrainControl", "TrainedRun", "train_run", "validate_run"]

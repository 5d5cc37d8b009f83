"""One run, fully spelled out: what the trainer is given."""

from typing import Literal

from sftlab.study.declaration import Frozen, Precision, Schedule, Template
from sftlab.study.methods import Method


class RunSeeds(Frozen):
    """Seeds of the three random acts of one run."""

    sample: int
    order: int
    init: int


class DataPart(Frozen):
    """One dataset's share in what a run is trained on."""

    dataset: str
    weight: float


class RunSpec(Frozen):
    """The recipe of one fine-tuning run.

    Names (`run`, `base`, `dataset`, `method_name`) are for people; identity is taken of the contents they stand for.
    `method.learning_rate` holds exactly one rate. `samples` is the number of training examples, `validation` the share
    (below 1) or number (from 1) of examples of each dataset that are held out.
    """

    run: str
    base: str
    dataset: str
    parts: tuple[DataPart, ...]
    samples: int
    validation: float
    method_name: str
    method: Method
    schedule: Schedule
    warmup_steps: int
    epochs: int
    seeds: RunSeeds
    precision: Precision
    template: Template
    loss_on: Literal["response", "all"]
    max_tokens: int
    overflow: Literal["drop", "truncate"]

    @property
    def learning_rate(self) -> float:
        """The one peak learning rate of this run."""
        return self.method.learning_rate[0]

    @property
    def recipe(self) -> dict[str, object]:
        """Everything of the run that bears on its result but is not content of files: part of its identity."""
        names = {"run", "base", "dataset", "method_name", "parts"}
        method = {**self.method.model_dump(exclude={"select"}), "version": type(self.method).version}
        return {**self.model_dump(exclude=names), "method": method, "weights": [part.weight for part in self.parts]}

    @property
    def depends_on_length(self) -> bool:
        """Whether the weights after an epoch depend on how many epochs follow: through the schedule, or its end."""
        return self.schedule != "constant"

"""One run, fully spelled out: what the trainer is given."""

from typing import Literal

from sftlab.study.declaration import Frozen, Precision, Schedule, ScoredEpochs, Template
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
    `method.learning_rate` and `method.batch_size` hold exactly one value. `steps` is the number of optimizer steps
    where the study gives that in place of epochs; `epochs` is then the epoch in which they end. `samples` is the number
    of training examples, `validation` the share (below 1) or number (from 1) of examples of each dataset that are held
    out. Which epochs are scored is no part of what is trained.
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
    decay_steps: int | None = None
    epochs: int
    steps: int | None = None
    seeds: RunSeeds
    precision: Precision
    template: Template
    loss_on: Literal["response", "all"]
    max_tokens: int
    overflow: Literal["drop", "truncate"]
    score_epochs: ScoredEpochs = "last"

    @property
    def learning_rate(self) -> float:
        """The one peak learning rate of this run."""
        return self.method.learning_rate[0]

    @property
    def batch_size(self) -> int:
        """The one number of examples in an optimizer step of this run."""
        return self.method.batch_size[0]

    @property
    def length(self) -> tuple[str, int]:
        """How long is trained, in the unit in which the study says it."""
        return ("epochs", self.epochs) if self.steps is None else ("steps", self.steps)

    @property
    def recipe(self) -> dict[str, object]:
        """Everything of the run that bears on its result but is not content of files: part of its identity."""
        unset = [name for name in ("steps", "decay_steps") if getattr(self, name) is None]
        left_out = {"run", "base", "dataset", "method_name", "parts", "score_epochs", *unset}
        method = {**self.method.recipe, "batch_size": self.batch_size}
        return {**self.model_dump(exclude=left_out), "method": method, "weights": [part.weight for part in self.parts]}

    @property
    def depends_on_length(self) -> bool:
        """Whether the weights after an epoch depend on how many epochs follow: through the schedule, or its end."""
        return self.schedule != "constant" or self.steps is not None

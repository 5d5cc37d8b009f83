"""Learning-rate schedules, as in transformers' `get_scheduler`."""

import math
from dataclasses import dataclass

from sftlab.study.declaration import Schedule


@dataclass(frozen=True)
class LearningRate:
    """A peak rate, reached after `warmup_steps`, and how it falls until `total_steps`."""

    peak: float
    schedule: Schedule
    warmup_steps: int
    total_steps: int

    def at(self, step: int) -> float:
        """The rate of a step, counted from 1; with warm-up the first step's rate is 0, as in transformers."""
        done = step - 1
        if done < self.warmup_steps:
            return self.peak * done / self.warmup_steps
        if self.schedule == "constant":
            return self.peak
        share = (done - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        if self.schedule == "linear":
            return self.peak * max(0.0, 1.0 - share)
        return self.peak * max(0.0, 0.5 * (1.0 + math.cos(math.pi * share)))

"""Learning-rate schedules, as in transformers' `get_scheduler`."""

import math
from dataclasses import dataclass

from sftlab.study.declaration import Schedule


@dataclass(frozen=True)
class LearningRate:
    """A peak rate, reached after `warmup_steps`, and how it falls until `total_steps`.

    Warmup-stable-decay (wsd; Hu et al. 2024, arXiv 2404.06395) stays at the peak and falls in a straight line to 0 over
    the last `decay_steps`, a tenth of all steps where they are not given.
    """

    peak: float
    schedule: Schedule
    warmup_steps: int
    total_steps: int
    decay_steps: int | None = None

    def at(self, step: int) -> float:
        """The rate of a step, counted from 1; with warm-up the first step's rate is 0, as in transformers."""
        done = step - 1
        if done < self.warmup_steps:
            return self.peak * done / self.warmup_steps
        if self.schedule == "constant":
            return self.peak
        if self.schedule == "wsd":
            left = self.total_steps - done
            decay_steps = wsd_decay_steps(self.decay_steps, self.total_steps, self.warmup_steps)
            return self.peak * min(1.0, left / decay_steps)
        share = (done - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        if self.schedule == "linear":
            return self.peak * max(0.0, 1.0 - share)
        return self.peak * max(0.0, 0.5 * (1.0 + math.cos(math.pi * share)))


def wsd_decay_steps(asked: int | None, total_steps: int, warmup_steps: int) -> int:
    """Steps over which a warmup-stable-decay schedule falls: as asked, or a tenth, and never into the warm-up."""
    return max(1, min(asked or math.ceil(total_steps / 10), total_steps - warmup_steps))

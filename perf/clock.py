"""Wall time and CPU time, side by side, and the median of interleaved repeats."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Instant:
    """A moment on the wall clock and on this process's CPU clock (all its threads), in seconds."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> "Instant":
        """This moment."""
        return cls(time.perf_counter(), time.process_time())


@dataclass(frozen=True)
class Span:
    """Seconds on the wall clock and of CPU between two moments."""

    wall: float
    cpu: float

    @classmethod
    def between(cls, start: Instant, end: Instant) -> "Span":
        """What passed from one moment to the other."""
        return cls(end.wall - start.wall, end.cpu - start.cpu)


def median_span(spans: Iterable[Span]) -> Span:
    """Medians of wall and CPU seconds, each by itself."""
    spans = tuple(spans)
    return Span(statistics.median(span.wall for span in spans), statistics.median(span.cpu for span in spans))


def interleaved(sides: Mapping[str, Callable[[], T]], *, repeats: int) -> dict[str, list[T]]:
    """Results of every side, called in turn (a, b, c, a, b, c ...), so that a slow minute is everybody's."""
    found: dict[str, list[T]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            found[name].append(side())
    return found

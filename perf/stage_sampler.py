"""Wall and CPU time by stage and by line, from looking at a thread's stack a few hundred times a second.

No timer in the code that is looked at. A look counts the time since the look before, so that spells in which the
looking thread cannot run (a library that holds the interpreter's lock) are not lost.
"""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

INTERVAL_SECONDS = 0.003
IMPORTS = "imports"


@dataclass(frozen=True)
class Place:
    """One line of a stack: file below the watched folder, function, and line."""

    file: str
    function: str
    line: int


Stage = Callable[[tuple[Place, ...]], str]
"""The stage of a stack, of which only the watched folder's lines are given, innermost first."""


class StageSampler:
    """Wall and CPU seconds by stage, wall seconds by line within each stage; watches the thread that made it."""

    def __init__(self, folder: Path, stage: Stage) -> None:
        self.seconds: Counter[str] = Counter()
        self.cpu_seconds: Counter[str] = Counter()
        self.lines: dict[str, Counter[str]] = {}
        self._folder = f"{folder}/"
        self._stage = stage
        self._thread = threading.get_ident()
        self._cpu_clock = time.pthread_getcpuclockid(self._thread)
        self._stop = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look while what is inside runs."""
        looking = threading.Thread(target=self._look_often, daemon=True)
        looking.start()
        try:
            yield
        finally:
            self._stop.set()
            looking.join()

    def _look_often(self) -> None:
        last, last_cpu = time.perf_counter(), time.clock_gettime(self._cpu_clock)
        while not self._stop.wait(INTERVAL_SECONDS):
            frame = sys._current_frames().get(self._thread)
            now, cpu = time.perf_counter(), time.clock_gettime(self._cpu_clock)
            self.cpu_seconds[self._take(frame, now - last)] += cpu - last_cpu
            last, last_cpu = now, cpu

    def _take(self, frame: FrameType | None, seconds: float) -> str:
        places: list[Place] = []
        importing, innermost = False, ""
        while frame is not None:
            name = frame.f_code.co_filename
            importing |= name.startswith("<frozen importlib")
            innermost = innermost or f"{Path(name).name}:{frame.f_code.co_name}"
            if name.startswith(self._folder):
                places.append(Place(name.removeprefix(self._folder), frame.f_code.co_name, frame.f_lineno))
            frame = frame.f_back
        stage = IMPORTS if importing else self._stage(tuple(places))
        self.seconds[stage] += seconds
        where = f"{places[0].file}:{places[0].line} ({places[0].function}, in {innermost})" if places else innermost
        self.lines.setdefault(stage, Counter())[where] += seconds
        return stage

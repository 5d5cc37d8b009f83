"""Where the wall time of a pocket study goes, by stage, and what that makes for a thousand runs on two cores.

    python perf/profile_study.py --small
    python perf/profile_study.py --save

The study runs in this one process with one thread, watched from outside (`stage_sampler.py`). Scaled up: what belongs
to a run or a data sample grows with the runs and is shared by the cores, and so is the loading of bases, which a worker
changes with every round of datasets; what belongs to a base (its own scores), to the machine or to a process stays what
it is; planning, tables, analysis and report are done by one process and are taken to grow with the runs.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from record import Result, machine, markdown_table, say
from stage_sampler import IMPORTS, Place, StageSampler

if TYPE_CHECKING:
    from sftlab.execute.event import Event

SOURCES = Path(__file__).resolve().parent.parent / "src" / "sftlab"
CORES = 2
THOUSAND = 1000
SERIAL = ("plan", "tables", "analysis", "report")
ONCE = (IMPORTS, "choice of kernels", "scoring of the bases")
LARGEST = 3
LINES = 8

BY_PLACE = (
    ("train/validation.py", None, "validation"),
    ("measure/weight_change.py", None, "weight change"),
    ("train/checkpoint.py", None, "checkpoint writing"),
    ("train/state.py", "write_state", "state to resume from"),
    ("lm/measured_kernel.py", None, "choice of kernels"),
    ("execute/workplace.py", "model", "load bases"),
    ("lm/base.py", "load_base", "load bases"),
    ("lm/base.py", "reset", "reset to the base"),
    ("lm/base.py", "load_checkpoint", "reload a checkpoint"),
    ("lm/encoding.py", "encode_examples", "tokens"),
    ("plan/selection.py", None, "choosing examples"),
    ("store/", None, "store"),
    ("train/trainable.py", None, "training set-up"),
    ("train/preflight.py", None, "training set-up"),
    ("train/session.py", "__init__", "training set-up"),
    ("train/", None, "training"),
    ("benchmarks/", None, "reading benchmarks"),
)
"""Stages by file (or folder) and function of any line of the stack; the first that matches, in this order."""


@dataclass
class Current:
    """What the study is at: the phase, and while it runs, the task."""

    phase: str = IMPORTS
    kind: str = ""
    subject: str = ""
    of_base: bool = False
    done: int = 0
    failed: list[str] = field(default_factory=list)

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Inside is this phase."""
        self.phase = phase
        start = time.perf_counter()
        yield
        say(f"{phase}: {time.perf_counter() - start:.1f} s")

    def follow(self, _: object, event: "Event | None") -> None:
        """Take the executor's word of what it is at."""
        from sftlab.execute.event import Failed, Finished, Started

        if isinstance(event, Started):
            self.kind, self.subject = event.kind, event.subject.partition(" of ")[0]
            self.of_base = event.kind == "score" and "/" not in event.job
        elif isinstance(event, Finished):
            self.done += 1
        elif isinstance(event, Failed):
            self.failed.append(f"{event.subject}: {event.reason}")

    def stage(self, places: tuple[Place, ...]) -> str:
        """The stage of a stack in this phase and task."""
        if self.phase != "run":
            return self.phase
        for file, function, stage in BY_PLACE:
            if any(place.file.startswith(file) and function in {None, place.function} for place in places):
                return stage
        if self.kind == "score":
            return "scoring of the bases" if self.of_base else f"scoring {self.subject}"
        if self.kind == "measure":
            return f"measure {self.subject}"
        return "other"


def main() -> None:
    """Run the study once under the sampler, and show the stages."""
    asked = _arguments()
    os.environ.update({"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"})
    at_start = machine()
    folder = Path(tempfile.mkdtemp(prefix="sftlab-profile-"))
    os.environ["SFTLAB_CACHE"] = str(folder / "cache")
    current = Current()
    sampler = StageSampler(SOURCES, current.stage)
    start = time.perf_counter()
    with sampler.watching():
        runs = whole_study(folder, asked, current)
    wall = time.perf_counter() - start
    shutil.rmtree(folder, ignore_errors=True)
    if current.failed:
        raise SystemExit(f"{len(current.failed)} tasks failed, the first: {current.failed[0]}")
    seconds = dict(sampler.seconds.most_common())
    cpu = {stage: sampler.cpu_seconds[stage] for stage in seconds}
    scaled = {stage: scale(stage, value, runs) for stage, value in seconds.items()}
    scaled_cpu = {stage: scale(stage, value, runs) for stage, value in cpu.items()}
    text = table({stage: (seconds[stage], cpu[stage], scaled[stage], scaled_cpu[stage]) for stage in seconds}, runs)
    text += "\n\n" + hottest(sampler, scaled)
    values: dict[str, Any] = {"wall_seconds": wall, "seconds": seconds, "cpu_seconds": cpu}
    values |= {"seconds_of_a_thousand_runs": scaled, "cpu_seconds_of_a_thousand_runs": scaled_cpu}
    values["lines"] = {stage: dict(lines.most_common(LINES)) for stage, lines in sampler.lines.items()}
    settings = {"runs": runs, "tasks": current.done, "examples": asked.samples, "items": asked.items, "epochs": 2}
    Result("study-profile", settings, values, text).finish(at_start, save=asked.save)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Wall time of a pocket study by stage.")
    parser.add_argument("--seeds", type=int, default=1, help="32 runs each")
    parser.add_argument("--samples", type=int, default=256, help="training examples a run")
    parser.add_argument("--items", type=int, default=100, help="questions a benchmark")
    parser.add_argument("--small", action="store_true", help="only to see that it works: 4 runs, 32 examples, 10 items")
    parser.add_argument("--save", action="store_true", help="keep the result under perf/results/")
    asked = parser.parse_args()
    if asked.small:
        asked.samples, asked.items = 32, 10
    return asked


def whole_study(folder: Path, asked: argparse.Namespace, current: Current) -> int:
    """The pocket study from its files to its report; the number of its runs."""
    from sftlab.analyse.answers import analysis as analysis_of
    from sftlab.analyse.tables import build_tables
    from sftlab.execute.inline import InlineExecutor
    from sftlab.execute.session import work
    from sftlab.execute.workplace import Manner
    from sftlab.plan.devices import Device
    from sftlab.plan.opening import open_study
    from sftlab.plan.resolve import settled
    from sftlab.plan.tasks import Job, pending_jobs

    def pending() -> tuple[Job, ...]:
        return pending_jobs(settled(opened.resolved, opened.store), opened.store)

    path = _write(folder, asked)
    devices = (Device("cpu", 0, "one core", None),)
    with current.during("plan"):
        opened = open_study(path, folder / "store")
    executor = InlineExecutor(opened.resolved, opened.store, devices, manner=Manner())
    with current.during("run"):
        work(executor, opened.store, study="profile", devices=devices, pending=pending, show=current.follow)
    cells, store = opened.resolved.cells, opened.store
    with current.during("tables"):
        tables = build_tables(cells, store)
    with current.during("analysis"):
        found = analysis_of(cells, store, tables)
    with current.during("report"):
        _report(found, tables, folder / "report.html")
    return len(cells.runs)


def _write(folder: Path, asked: argparse.Namespace) -> Path:
    from sftlab.pocket.files import PocketDesign, write_pocket_study

    small = {"bases": ("llama-facts", "neox-skills"), "datasets": ("arithmetic",)} if asked.small else {}
    return write_pocket_study(
        folder,
        design=PocketDesign(samples=asked.samples, items=asked.items, seeds=tuple(range(asked.seeds)), **small),
    )


def _report(found: Any, tables: Any, out: Path) -> None:  # noqa: ANN401 - as sftlab's own functions return them
    from datetime import datetime

    from sftlab.report.context import ReportContext
    from sftlab.report.page import write_report

    context = ReportContext("profile", datetime.now().astimezone(), "one core", {})
    write_report(found, tables, context, out)


def scale(stage: str, seconds: float, runs: int) -> float:
    """Wall seconds of a stage in a study of a thousand runs on two cores."""
    if stage in ONCE:
        return seconds
    return seconds * THOUSAND / runs / (1 if stage in SERIAL else CORES)


def table(stages: dict[str, tuple[float, float, float, float]], runs: int) -> str:
    """Stages by size: wall and CPU seconds, and what both make for a thousand runs."""
    wall = sum(values[0] for values in stages.values())

    def row(name: str, values: tuple[float, ...], grows: str) -> list[object]:
        seconds, cpu, scaled, scaled_cpu = values
        share, each = 100 * seconds / wall, 1000 * cpu / runs
        return [name, seconds, cpu, share, each, scaled / 60, scaled_cpu / 60, grows]

    rows = [row(stage, values, _grows(stage)) for stage, values in stages.items()]
    rows.append(row("all", tuple(map(sum, zip(*stages.values(), strict=True))), ""))
    head = ["stage", "wall s", "CPU s", "% of wall", "CPU ms a run", f"min of {THOUSAND} runs, {CORES} cores"]
    note = (
        "Minutes by CPU are what wall time would be on cores that nobody else uses and a disk that never waits; where "
        "the two differ much, the machine was not quiet or the stage waits for the disk."
    )
    return f"{markdown_table([*head, 'the same by CPU', 'grows with'], rows)}\n\n{note}"


def _grows(stage: str) -> str:
    if stage in ONCE:
        return "nothing"
    return "runs, one process" if stage in SERIAL else "runs, shared by cores"


def hottest(sampler: StageSampler, scaled: dict[str, float]) -> str:
    """The lines that the largest stages spend their time at."""
    blocks = []
    for stage in sorted(scaled, key=lambda name: -scaled[name])[:LARGEST]:
        whole = sampler.seconds[stage]
        lines = [f"- {100 * part / whole:.0f} % {where}" for where, part in sampler.lines[stage].most_common(LINES)]
        blocks.append("\n".join([f"{stage}, {whole:.1f} s:", "", *lines]))
    return f"The {LARGEST} largest stages and the lines they are at:\n\n" + "\n\n".join(blocks)


if __name__ == "__main__":
    main()

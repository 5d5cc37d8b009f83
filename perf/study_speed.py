"""A whole study (train, evaluate, measure) by `sftlab run`, against a script with TRL, PEFT and lm-eval.

    python perf/study_speed.py --small
    python perf/study_speed.py --save
    python perf/study_speed.py --sample 6 --save

Both sides start from nothing but files, each as a process of its own with its imports: `sftlab run` with one worker a
core, the peer's script (`peer_study.py`) in one process with the number of threads that trains a run faster here. The
peer is spared what costs it time and sftlab does too: validation of the untuned base, optimizer states in its
checkpoints, reading back what it trained, and perplexity more than once for a base and sample. Losses of every step,
validation losses, scores, perplexities and weight changes must agree before any ratio is shown. With `--sample N` the
peer does only N of the runs, the same number of each method, and its time is extrapolated; the output says so.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from record import PERF, Result, machine, markdown_table, say
from same_results import Differences, differences
from shared_study import SharedStudy, peer_plan, write_shared_study

if TYPE_CHECKING:
    from sftlab.plan.resolve import Resolved
    from sftlab.study.cells import RunCell

OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
Json = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """One side's whole study: wall and CPU seconds of its processes, and wall seconds by stage, summed over runs."""

    wall: float
    cpu: float
    stages: Mapping[str, float]


def main() -> None:
    """Run both sides in turn, compare what came out, and show the ratios."""
    asked = _arguments()
    at_start = machine()
    folder = Path(tempfile.mkdtemp(prefix="sftlab-study-speed-"))
    say(f"files in {folder}, removed when all went well")
    study = write_shared_study(folder, _design(asked))
    resolved = _resolved(study, folder / "plan-store")
    runs = sampled(resolved.cells.runs, asked.sample)
    say(f"{len(resolved.cells.runs)} runs, {len(resolved.cells.scores)} scores; the peer does {len(runs)} of the runs")
    plan = peer_plan(study, resolved, folder, runs=runs)
    threads = _threads(plan, folder)
    plan["threads"] = int(min(threads, key=lambda number: threads[number]))
    say(f"the peer trains its first run in {threads} seconds by threads: it gets {plan['threads']}")
    ours, theirs = [], []
    for repeat in range(asked.repeats):
        store = folder / f"store-{repeat}"
        ours.append(_ours(study, store, workers=asked.workers))
        say(f"sftlab: {ours[-1].wall:.1f} s wall, {ours[-1].cpu:.1f} s CPU")
        side, out = _theirs(plan, folder, total=resolved.cells.runs)
        theirs.append(side)
        say(f"peer: {side.wall:.1f} s wall, {side.cpu:.1f} s CPU{_extrapolated(runs, resolved)}")
        found = differences(study.path, store, out)
        say(f"same results: {found.sentence}")
        found.require_equal()
    settings = _settings(asked, resolved, plan) | {"extrapolated": len(runs) < len(resolved.cells.runs)}
    values = {
        "sftlab": [vars(side) for side in ours],
        "peer": [vars(side) for side in theirs],
        "threads_tried": threads,
    }
    text = table(ours, theirs, found, note=_extrapolated(runs, resolved))
    Result("study-speed", settings, values | {"differences": vars(found)}, text).finish(at_start, save=asked.save)
    shutil.rmtree(folder, ignore_errors=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A whole study by sftlab against a script with TRL, PEFT and lm-eval.")
    parser.add_argument("--sample", type=int, help="the peer does only so many runs, and is extrapolated")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="workers of `sftlab run`")
    parser.add_argument("--repeats", type=int, default=3, help="both sides in turn so often; medians count")
    parser.add_argument("--samples", type=int, help="training examples a run, a multiple of 16; 256 if not given")
    parser.add_argument("--items", type=int, help="questions a benchmark; 100 if not given")
    parser.add_argument(
        "--small", action="store_true", help="only to see that it works: 4 runs once, 32 examples, 10 items"
    )
    parser.add_argument("--save", action="store_true", help="keep the result under perf/results/")
    asked = parser.parse_args()
    asked.repeats = 1 if asked.small else asked.repeats
    asked.samples = asked.samples or (32 if asked.small else 256)
    asked.items = asked.items or (10 if asked.small else 100)
    if asked.samples % 16:
        parser.error(f"--samples is a multiple of the batch size 16: got {asked.samples}")
    return asked


def _design(asked: argparse.Namespace) -> Any:  # noqa: ANN401 - a PocketDesign
    """48 runs: four bases, three datasets, full and LoRA, two seeds."""
    from sftlab.pocket.files import PocketDesign

    if asked.small:
        return PocketDesign(("llama-facts", "neox-skills"), ("arithmetic",), asked.samples, 2, (0,), asked.items)
    return PocketDesign(
        datasets=("facts", "arithmetic", "strings"), samples=asked.samples, seeds=(0, 1), items=asked.items
    )


def _resolved(study: SharedStudy, store: Path) -> "Resolved":
    from sftlab.plan.opening import open_study

    return open_study(study.path, store).resolved


def sampled(runs: "Sequence[RunCell]", count: int | None) -> "tuple[RunCell, ...]":
    """All runs, or so many: the same number of each method, evenly spread over the others' factors."""
    if count is None or count >= len(runs):
        return tuple(runs)
    methods = sorted({run.spec.method_name for run in runs})
    chosen: list[RunCell] = []
    for number, method in enumerate(methods):
        of_method = [run for run in runs if run.spec.method_name == method]
        share = count // len(methods) + (number < count % len(methods))
        chosen += [of_method[(2 * place + 1) * len(of_method) // (2 * share)] for place in range(share)]
    return tuple(chosen)


def _settings(asked: argparse.Namespace, resolved: "Resolved", plan: Json) -> Json:
    return {
        "runs": len(resolved.cells.runs),
        "scores": len(resolved.cells.scores),
        "examples": asked.samples,
        "epochs": resolved.cells.runs[0].spec.epochs,
        "items": asked.items,
        "workers": asked.workers,
        "peer_threads": plan["threads"],
        "peer_runs_done": len(plan["runs"]),
        "repeats": asked.repeats,
    }


def _extrapolated(runs: "Sequence[RunCell]", resolved: "Resolved") -> str:
    if len(runs) == len(resolved.cells.runs):
        return ""
    return f" (extrapolated from {len(runs)} of {len(resolved.cells.runs)} runs)"


def _children_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _process(command: list[str], **environment: str) -> tuple[float, float]:
    """Wall and CPU seconds of a process and all that it started; what it says on standard output is shown."""
    wall, cpu = time.perf_counter(), _children_cpu_seconds()
    known = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    known |= OFFLINE | environment
    done = subprocess.run(command, check=False, env=known, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command[:3])} ... ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return time.perf_counter() - wall, _children_cpu_seconds() - cpu


def _ours(study: SharedStudy, store: Path, *, workers: int) -> Side:
    command = [sys.executable, "-c", "from sftlab.cli import main; main()", "run", str(study.path)]
    cache = {"SFTLAB_CACHE": str(store.parent / "cache"), "TORCHINDUCTOR_CACHE_DIR": str(store.parent / "compiled")}
    wall, cpu = _process([*command, "--store", str(store), "--workers", str(workers)], **cache)
    return Side(wall, cpu, _our_stages(store))


def _our_stages(store: Path) -> dict[str, float]:
    """Wall seconds of the tasks by kind, summed over workers; `around scores` is what a score task does before it asks.

    The first task of a worker, which is a score, imports what it needs and loads its base before it asks anything.
    """
    from sftlab.store import Store

    held = Store(store)
    stages = {
        kind: sum(float(str(record.provenance["wall_seconds"])) for record in held.records(kind))
        for kind in ("train", "score", "measure")
    }
    asking = sum(float(str(record.result["wall_seconds"])) for record in held.records("score"))
    return {**stages, "score": asking, "around scores": stages["score"] - asking}


def _threads(plan: Json, folder: Path) -> dict[str, float]:
    (folder / "trial").mkdir(exist_ok=True)
    _peer({**plan, "threads": None}, folder / "trial.json")
    tried: dict[str, float] = json.loads((folder / "trial.json").read_text())["threads_tried"]
    return tried


def _peer(plan: Json, out: Path) -> tuple[float, float]:
    written = out.with_suffix(".plan.json")
    written.write_text(json.dumps(plan))
    command = [sys.executable, str(PERF / "peer_study.py"), str(written), str(out)]
    return _process(command, TMPDIR=str(out.parent))


def _theirs(plan: Json, folder: Path, *, total: "Sequence[RunCell]") -> tuple[Side, Json]:
    out = folder / "peer.json"
    wall, cpu = _peer(plan, out)
    found: Json = json.loads(out.read_text())
    done = {
        name: sum(run["method"] == name for run in found["runs"]) for name in {run["method"] for run in found["runs"]}
    }
    weight = {name: sum(cell.spec.method_name == name for cell in total) / count for name, count in done.items()}
    stages: dict[str, float] = {}
    for run in found["runs"]:
        for stage, seconds in run["wall"].items():
            stages[stage] = stages.get(stage, 0.0) + weight[run["method"]] * seconds
        # What was not done costs as much as what was: the mean of its method.
        wall += (weight[run["method"]] - 1) * sum(run["wall"].values())
        cpu += (weight[run["method"]] - 1) * sum(run["cpu"].values())
    stages["bases"] = sum(sum(base["wall"].values()) for base in found["bases"])
    stages["imports"] = found["imports"]
    return Side(wall, cpu, stages), found


def table(ours: Sequence[Side], theirs: Sequence[Side], found: Differences, *, note: str) -> str:
    """Wall, CPU, and training alone, with ratios; the stages of both sides; and how equal the results were."""

    def stages(sides: Sequence[Side], *names: str) -> float:
        return statistics.median(sum(side.stages.get(name, 0.0) for name in names) for side in sides)

    wall = [statistics.median(side.wall for side in sides) for sides in (theirs, ours)]
    cpu = [statistics.median(side.cpu for side in sides) for sides in (theirs, ours)]
    train = [stages(theirs, "load", "tokens", "train"), stages(ours, "train")]
    score = [stages(theirs, "score", "bases"), stages(ours, "score")]
    measure = [stages(theirs, "measure"), stages(ours, "measure")]
    around = [stages(theirs, "imports"), stages(ours, "around scores")]
    rows: list[list[object]] = [
        ["whole study, wall seconds", *wall, wall[0] / wall[1]],
        ["whole study, CPU seconds", *cpu, cpu[0] / cpu[1]],
        ["training, seconds of one process", *train, train[0] / train[1]],
        ["scoring, seconds of one process", *score, score[0] / score[1]],
        ["measuring, seconds of one process", *measure, measure[0] / measure[1]],
        ["imports, and around scores, seconds of one process", *around, around[0] / around[1]],
    ]
    lines = [
        markdown_table(["", f"TRL + PEFT + lm-eval{note}", "sftlab", "ratio"], rows),
        "",
        f"First sitting of sftlab, nothing kept from before: {ours[0].wall:.1f} s wall. Training includes loading or "
        "resetting the base, tokens, validation and checkpoints; around scores are a worker's imports, its bases and "
        "the reading of benchmarks, which the peer has in its imports and its scoring; sftlab's weight change is in "
        "its training, the peer's in its measures.",
        "",
        f"Same results: {found.sentence}.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()

"""Doing the missing work of an opened study, with a display, for all verbs that do."""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sftlab.cli.printing import duration, print_json, print_line
from sftlab.errors import ModelError
from sftlab.plan.opening import Opened

if TYPE_CHECKING:
    from sftlab.execute.session import Outcome
    from sftlab.execute.workplace import Manner
    from sftlab.plan.devices import Device
    from sftlab.plan.tasks import Job

SMOKE_ITEMS = 4


def do_missing(
    opened: Opened, *, on: str, workers: int | None, devices_per_run: int = 1, manner: "Manner | None" = None
) -> "Outcome":
    """Do what the store does not hold and show progress on standard error."""
    from sftlab.cli.display import display
    from sftlab.execute.fitting import poor_fits
    from sftlab.execute.inline import InlineExecutor
    from sftlab.execute.kept_checkpoints import remove_unwanted_checkpoints
    from sftlab.execute.local import LocalExecutor
    from sftlab.execute.session import Executor, Outcome, work
    from sftlab.execute.workplace import Manner
    from sftlab.plan.cost import check_budget, estimate_cost
    from sftlab.plan.devices import devices, grouped
    from sftlab.plan.judge_cost import check_judge_budget, judge_cost
    from sftlab.plan.packages import require_packages
    from sftlab.plan.resolve import settled
    from sftlab.plan.tasks import pending_jobs

    def pending() -> "tuple[Job, ...]":
        now = settled(opened.resolved, opened.store)
        remove_unwanted_checkpoints(now, opened.store)
        return pending_jobs(now, opened.store)

    if opened.resolved.provisional:
        raise ModelError(f"this cannot be run now: {opened.resolved.provisional[0]}")
    jobs = pending_jobs(opened.resolved, opened.store)
    places = _places(grouped(devices(), devices_per_run), workers)
    require_packages(jobs)
    if not jobs:
        return Outcome(done=0, failed=(), wall_seconds=0.0, interrupted=False)
    if opened.study.budget is not None:
        together = tuple(device for place in places for device in (place, *place.partners))
        check_budget(opened.study.budget, estimate_cost(opened.resolved, jobs, opened.store, together))
    check_judge_budget(opened.study.evaluation.judge, judge_cost(opened.study.evaluation, jobs, opened.store))
    _check_benchmarks(opened)
    poor_fits(opened, jobs)
    executor: Executor
    if on == "inline":
        executor = InlineExecutor(opened.resolved, opened.store, places, manner=manner or Manner())
    else:
        executor = LocalExecutor(opened.resolved, opened.store, places, manner=manner or Manner())
    with display(sys.stderr) as show:
        return work(executor, opened.store, study=opened.study.study, devices=places, pending=pending, show=show)


def _check_benchmarks(opened: Opened) -> None:
    """Read every benchmark that has a score to come, so that what is not there is known before any work is done."""
    from sftlab.benchmarks.loading import load_benchmark

    evaluation = opened.study.evaluation
    due = {
        cell.benchmark.name: cell.benchmark
        for cell in opened.resolved.cells.scores
        if not opened.store.has(cell.identity)
    }
    for ref in due.values():
        limit = ref.items or evaluation.items
        load_benchmark(
            ref,
            folder=Path.cwd(),
            benchmarks_dir=Path(evaluation.benchmarks_dir) if evaluation.benchmarks_dir else None,
            items=None if limit == "all" else limit,
        )


def smoke_study(
    opened: Opened, *, on: str, workers: int | None, devices_per_run: int = 1, deterministic: bool = False
) -> "Outcome":
    """Try every cell with its longest examples, two steps and four items, in a store that is thrown away."""
    from sftlab.execute.workplace import Manner
    from sftlab.plan.resolve import resolve
    from sftlab.store import Store
    from sftlab.study.expansion import one_epoch_runs

    evaluation = opened.study.evaluation
    benchmarks = tuple(ref.model_copy(update={"items": SMOKE_ITEMS}) for ref in evaluation.benchmarks)
    small = opened.study.model_copy(
        update={
            "evaluation": evaluation.model_copy(update={"benchmarks": benchmarks, "score_epochs": "last"}),
            "epochs": (1,),
            "steps": None,
            "runs": opened.study.runs and one_epoch_runs(opened.study),
            "budget": None,
        }
    )
    with tempfile.TemporaryDirectory(prefix="sftlab-smoke-") as folder:
        store = Store(Path(folder))
        tried = replace(opened, study=small, store=store, resolved=resolve(small, store))
        manner = Manner(smoke=True, deterministic=deterministic)
        return do_missing(tried, on=on, workers=workers, devices_per_run=devices_per_run, manner=manner)


def _places(found: tuple["Device", ...], workers: int | None) -> tuple["Device", ...]:
    """One place a worker: the first ones found, or in turn where there are to be more workers than places."""
    return found if workers is None else tuple(found[index % len(found)] for index in range(workers))


def print_outcome(opened: Opened, outcome: "Outcome", *, as_json: bool) -> None:
    """What came of a sitting: counts, and every failure with its reason."""
    if as_json:
        failed = [{"kind": one.kind, "subject": one.subject, "reason": one.reason} for one in outcome.failed]
        print_json(
            {
                "study": opened.study.study,
                "done": outcome.done,
                "failed": failed,
                "wall_seconds": outcome.wall_seconds,
                "interrupted": outcome.interrupted,
            }
        )
        return
    if outcome.interrupted:
        print_line(f"stopped: {outcome.done} cells were done and are kept; the same command goes on from here")
    elif outcome.done == 0 and not outcome.failed:
        print_line(f"nothing to do: the store holds every cell of {opened.study.study}")
    else:
        done = f"{outcome.done} cell{'s' * (outcome.done != 1)} done"
        print_line(f"{done}, {len(outcome.failed)} failed, in {duration(outcome.wall_seconds)}")
    for failure in outcome.failed:
        print_line(f"failed: {failure.kind} {failure.subject}: {failure.reason}")

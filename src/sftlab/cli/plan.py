"""`sftlab plan`: what a study asks for, what is there already, and what the rest costs."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from sftlab.cli.options import AsJson, StoreFolder, StudyFile

if TYPE_CHECKING:
    from sftlab.cli.opening import Opened
    from sftlab.plan.cost import Cost


def plan(study: StudyFile, store: StoreFolder = None, as_json: AsJson = False) -> None:
    """Show the matrix of a study: cells, what the store already holds, shared work, and cost."""
    from sftlab.cli.opening import open_study
    from sftlab.cli.printing import print_json
    from sftlab.plan.cost import check_budget, estimate_cost
    from sftlab.plan.devices import devices
    from sftlab.plan.tasks import counts, pending_jobs

    opened = open_study(study, store)
    jobs = pending_jobs(opened.resolved, opened.store)
    cost = estimate_cost(opened.resolved, jobs, opened.store, devices())
    if as_json:
        held = {kind: asdict(count) for kind, count in counts(opened.resolved, opened.store).items()}
        runs = [
            {"run": run.spec.run, "identity": run.identity, "held": opened.store.has(run.identity)}
            for run in opened.resolved.cells.runs
        ]
        print_json(
            {
                "study": opened.study.study,
                "cells": held,
                "runs": runs,
                "cost": asdict(cost),
                "provisional": list(opened.resolved.provisional),
            }
        )
    else:
        _print(opened, cost)
    check_budget(opened.study.budget, cost)


def _print(opened: "Opened", cost: "Cost") -> None:
    from collections import Counter

    from sftlab.cli.printing import duration, print_columns, print_line, size
    from sftlab.plan.devices import devices
    from sftlab.plan.tasks import counts

    study, cells, store = opened.study, opened.resolved.cells, opened.store
    print_line(f"study {study.study}, store {store.root}")
    for sentence in opened.resolved.provisional:
        print_line(f"provisional: {sentence}")
    print_line()
    datasets = list(dict.fromkeys(run.spec.dataset for run in cells.runs))
    per_cell = Counter((run.spec.base, run.spec.dataset) for run in cells.runs)
    held = Counter((run.spec.base, run.spec.dataset) for run in cells.runs if store.has(run.identity))
    header = ["runs held/all", *datasets]
    rows = [
        [name, *(f"{held[name, dataset]}/{per_cell[name, dataset]}" for dataset in datasets)]
        for name in (base.base.name for base in cells.bases)
    ]
    print_columns(header, rows)
    print_line()
    for kind, count in counts(opened.resolved, store).items():
        print_line(f"{kind}: {count.total}, held: {count.held}, to do: {count.total - count.held}")
    shared = len(cells.runs) - len({run.identity for run in cells.runs})
    print_line(
        f"shared: each of {len(cells.bases)} bases is scored and measured once for all its runs"
        + (f"; {shared} runs are the same as others and trained once" if shared else "")
    )
    found = devices()
    print_line(f"devices: {len(found)} x {found[0].kind} ({found[0].name}), one worker each")
    print_line(
        f"cost of what is to do: {cost.train_tokens:,} training tokens, about {duration(cost.seconds)} here "
        f"({cost.device_hours:.2f} device-hours), {size(cost.disk_bytes)} of checkpoints; from {cost.rate}"
    )

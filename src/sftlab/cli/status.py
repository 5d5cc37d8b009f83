"""`sftlab status`: how far a study is, while it runs or after."""

from sftlab.cli.options import AsJson, StoreFolder, StudyFile


def status(study: StudyFile, store: StoreFolder = None, as_json: AsJson = False) -> None:
    """Show what is done, running and failed (with reasons), and the time left."""
    from dataclasses import asdict

    from sftlab.analyse.superseded import superseded_notes
    from sftlab.cli.printing import duration, print_json, print_line
    from sftlab.execute.progress import NOTE_PREFIX, is_alive, is_at_work
    from sftlab.plan.opening import open_study
    from sftlab.plan.tasks import counts

    opened = open_study(study, store)
    cells, held = opened.resolved.cells, opened.store
    found = counts(opened.resolved, held)
    named = {
        **{run.identity: f"train {run.spec.run}" for run in cells.runs},
        **{
            one.identity: f"score {one.benchmark.name} of {one.run or one.base} epoch {one.epoch}"
            for one in cells.scores
        },
        **{one.identity: f"measure {one.measure} of {one.dataset} under {one.base}" for one in cells.measures},
        **{one.identity: f"measure {one.measure} of {one.run or one.base} epoch {one.epoch}" for one in cells.probes},
    }
    failures = [
        {"cell": name, "reason": failure.reason}
        for identity, name in named.items()
        if (failure := held.failure(identity)) is not None
    ]
    notes = held.notes(NOTE_PREFIX) if is_at_work(held.root) else ()
    running = [note for _, note in notes if is_alive(note)]
    if as_json:
        held_counts = {kind: asdict(count) for kind, count in found.items()}
        print_json({"study": opened.study.study, "cells": held_counts, "failed": failures, "running": running})
        return
    print_line(f"study {opened.study.study}, store {held.root}")
    for kind, count in found.items():
        print_line(f"{kind}: {count.held} of {count.total} done")
    for sentence in superseded_notes(cells, held):
        print_line(sentence)
    for note in running:
        left, rate = note.get("seconds_left"), note.get("tokens_per_second")
        speed = f", {rate:,.0f} training tokens/s" if isinstance(rate, float) else ""
        time_left = f", about {duration(left)} left" if isinstance(left, float) else ""
        print_line(f"running: study {note['study']}, process {note['pid']} on {note['host']}{speed}{time_left}")
        current = note.get("current")
        for task in current if isinstance(current, list) else []:
            print_line(f"  {task['task']}: {task['share']:.0%}")
    if not running:
        print_line("nothing is running")
    for one in failures:
        print_line(f"failed: {one['cell']}: {one['reason']}")

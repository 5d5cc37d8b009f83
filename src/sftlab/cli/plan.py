"""`sftlab plan`: what a study asks for, what is there already, and what the rest costs."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from sftlab.cli.options import AsJson, StoreFolder, StudyFile

PROVISIONAL_SHOWN = 3

if TYPE_CHECKING:
    from sftlab.plan.cost import Cost
    from sftlab.plan.judge_cost import JudgeCost
    from sftlab.plan.opening import Opened

GPU_HOURS_WORTH_A_LINE = 0.1


def plan(study: StudyFile, store: StoreFolder = None, as_json: AsJson = False) -> None:
    """Show the matrix of a study: cells, what the store already holds, shared work, and cost."""
    from sftlab.cli.memory_lines import memory_lines
    from sftlab.cli.printing import print_json, print_line
    from sftlab.execute.fitting import poor_fits
    from sftlab.plan.cost import check_budget, estimate_cost
    from sftlab.plan.devices import devices
    from sftlab.plan.judge_cost import check_judge_budget, judge_cost
    from sftlab.plan.memory import largest_run
    from sftlab.plan.opening import open_study
    from sftlab.plan.packages import require_packages
    from sftlab.plan.power import power_lines, study_power
    from sftlab.plan.tasks import counts, pending_jobs

    opened = open_study(study, store)
    jobs = pending_jobs(opened.resolved, opened.store)
    require_packages(jobs)
    dropping = poor_fits(opened, jobs)
    cost = estimate_cost(opened.resolved, jobs, opened.store, devices())
    largest = largest_run(jobs, cost.sizes)
    judging = judge_cost(opened.study.evaluation, jobs, opened.store)
    power = study_power(opened.resolved, opened.store)
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
                "memory": None if largest is None else {"run": largest.spec.run, **asdict(largest.need)},
                "judge": None if judging is None else asdict(judging),
                "power": None if power is None else asdict(power),
                "provisional": list(opened.resolved.provisional),
                "without_shots": list(opened.resolved.without_shots),
                "dropping": [asdict(fit) for fit in dropping],
            }
        )
    else:
        _print(opened, cost)
        for fit in dropping:
            print_line(
                f"dropped: {fit.dropped} of the first {fit.looked_at} examples of {fit.dataset} cannot be trained on "
                f"under {fit.base}: the first has {fit.reason}"
            )
        for line in memory_lines(largest, devices()):
            print_line(line)
        _print_judging(judging)
        for line in () if power is None else power_lines(power):
            print_line(line)
    check_budget(opened.study.budget, cost)
    check_judge_budget(opened.study.evaluation.judge, judging)


def _print(opened: "Opened", cost: "Cost") -> None:
    from sftlab.cli.printing import print_line
    from sftlab.plan.devices import default_precision
    from sftlab.plan.engines import engine_words
    from sftlab.plan.tasks import counts

    study, cells, store = opened.study, opened.resolved.cells, opened.store
    print_line(f"study {study.study}, store {store.root}")
    provisional = opened.resolved.provisional
    for sentence in provisional[:PROVISIONAL_SHOWN]:
        print_line(f"provisional: {sentence}")
    if len(provisional) > PROVISIONAL_SHOWN:
        print_line(f"provisional: and {len(provisional) - PROVISIONAL_SHOWN} more like these (`--json` lists all)")
    print_line()
    _print_matrix(opened)
    print_line()
    for kind, count in counts(opened.resolved, store).items():
        repeated = len(cells.runs) - count.total if kind == "runs" else 0
        verb = "is" if repeated == 1 else "are"
        named = f" ({len(cells.runs)} with the {repeated} that {verb} the same as another)" if repeated else ""
        print_line(f"{kind}: {count.total}{named}, held: {count.held}, to do: {count.total - count.held}")
    trajectories = len({run.trajectory for run in cells.runs})
    models = len({score.checkpoint for score in cells.scores if score.run is not None})
    counts_of = ((models, "model"), (len(cells.bases), "base"), (trajectories, "training"))
    scored, bases, trainings = (f"{count} {noun}{'s' * (count != 1)}" for count, noun in counts_of)
    print_line(
        f"shared: {scored} to score and {bases}, out of {trainings}; each base is scored and measured once for all its "
        "runs"
    )
    if cells.scores:
        precision = study.precision or default_precision()
        print_line(f"engine: {engine_words(study.evaluation.engine, precision)}")
    if opened.resolved.without_shots:
        print_line(
            f"base_shots: not of {', '.join(opened.resolved.without_shots)}, which have no examples to give: the "
            "bases' own form keeps their own number of shots"
        )
    print_line()
    _print_cost(opened, cost)


def _print_judging(judging: "JudgeCost | None") -> None:
    from sftlab.cli.printing import print_line

    if judging is None:
        return
    usd = "no prices given" if judging.usd is None else f"about {judging.usd:,.2f} US dollars"
    print_line(
        f"judge {judging.model}: up to {judging.calls:,} calls, about {judging.input_tokens:,} tokens in and "
        f"{judging.output_tokens:,} out, {usd}; equal answers are judged once"
    )


def _print_matrix(opened: "Opened") -> None:
    from collections import Counter

    from sftlab.cli.printing import print_columns

    runs, store = opened.resolved.cells.runs, opened.store
    places = Counter((run.spec.base, run.spec.dataset) for run in runs)
    held = Counter((run.spec.base, run.spec.dataset) for run in runs if store.has(run.identity))
    bases = [base.base.name for base in opened.resolved.cells.bases]
    datasets = list(dict.fromkeys(run.spec.dataset for run in runs))

    def shown(base: str, dataset: str) -> str:
        return f"{held[base, dataset]}/{places[base, dataset]}" if places[base, dataset] else "-"

    if len(datasets) <= len(bases):
        print_columns(
            ["runs held/all", *datasets], [[base, *(shown(base, data) for data in datasets)] for base in bases]
        )
    else:
        print_columns(["runs held/all", *bases], [[data, *(shown(base, data) for base in bases)] for data in datasets])


def _print_cost(opened: "Opened", cost: "Cost") -> None:
    from sftlab.cli.printing import duration, hours, print_line, size
    from sftlab.plan.cost import CUDA_FLOPS, GENERATION_SLOWDOWN
    from sftlab.plan.devices import devices
    from sftlab.study.engine import BUILT_IN, Server

    found = devices()
    print_line(f"devices: {len(found)} x {found[0].kind} ({found[0].name}), one worker each")
    print_line(
        f"cost of what is to do: about {cost.train_tokens:,} training tokens, {duration(cost.seconds)} here "
        f"({hours(cost.device_hours)} device-hours, {hours(cost.train_device_hours)} of them training with its "
        f"validation), {size(cost.disk_bytes)} of checkpoints; from {cost.rate}"
    )
    engine = opened.study.evaluation.engine
    if engine != BUILT_IN and opened.resolved.cells.scores:
        due = {score.checkpoint for score in opened.resolved.cells.scores if not opened.store.has(score.identity)}
        runs_already = isinstance(engine, Server) and engine.serve is None
        starting = "" if runs_already else f"; to start it for each of {len(due)} checkpoints comes to that"
        print_line(f"scores are reckoned at the built-in engine's speed, the study's own being unknown{starting}")
    if cost.validation_share is not None and cost.validation_share > 0.5:
        print_line(
            f"validation costs more than training: {cost.validation_tokens:,} tokens of held-out examples are "
            f"predicted, all of them after every epoch; `validation: 200` would hold out 200 examples of each dataset"
        )
    if cost.tokens_alone > cost.train_tokens:
        print_line(
            f"without sharing: about {cost.tokens_alone:,} training tokens if each of the {cost.models} models were "
            f"trained by itself, {cost.tokens_alone / cost.train_tokens:.1f} times as many"
        )
    _print_guesses(opened, cost)
    if found[0].kind == "cpu" and cost.train_gpu_hours + cost.evaluation_gpu_hours >= GPU_HOURS_WORTH_A_LINE:
        print_line(
            f"on GPUs: {_gpu_hours(cost.train_gpu_hours)} GPU-hours of training, "
            f"{_gpu_hours(cost.evaluation_gpu_hours)} of evaluation, at an assumed {CUDA_FLOPS / 1e12:.0f} TFLOP/s "
            f"({GENERATION_SLOWDOWN:.0f} times less where answers are generated): right within a factor of about 5"
        )
    known = opened.study.known_cost
    if known is not None:
        parts = {
            "models": known.models,
            "GPU-hours of training": known.train_gpu_hours,
            "GPU-hours of evaluation": known.evaluation_gpu_hours,
            "TB of checkpoints": known.disk_tb,
        }
        said = ", ".join(f"{value:,.10g} {what}" for what, value in parts.items() if value is not None)
        print_line(f"{known.source} spent: {said}")


def _gpu_hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def _print_guesses(opened: "Opened", cost: "Cost") -> None:
    from sftlab.cli.printing import print_line
    from sftlab.plan.resolve import UNREAD_EXAMPLE_BYTES

    sources = {"parameters": "as the study says", "name": "as their names say"}
    for source, words in sources.items():
        said = [
            f"{name} {size.num_weights / 1e9:.3g}B"
            for name, size in cost.sizes.items()
            if size.source == source and size.num_weights is not None
        ]
        if said:
            print_line(f"weights, {words}: {', '.join(said)}")
    if any(sentence.startswith("dataset ") for sentence in opened.resolved.provisional):
        print_line(f"examples of data that cannot be read now are taken to have {UNREAD_EXAMPLE_BYTES:,} bytes")
    if cost.unknown_sizes:
        print_line(
            f"not counted: the size of {', '.join(cost.unknown_sizes)} is not known: state `parameters` of the base"
        )

"""The one table of what workers can do: train, score, measure."""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from sftlab.benchmarks.item import Benchmark
from sftlab.benchmarks.loading import load_benchmark
from sftlab.evaluate.engines.built_in import BuiltInEngine
from sftlab.evaluate.engines.served import ServedEngine
from sftlab.evaluate.item_rows import question_frame
from sftlab.evaluate.judging.session import Desk
from sftlab.evaluate.noise import measured_noise
from sftlab.evaluate.questions import asking
from sftlab.evaluate.scoring import score_with
from sftlab.execute.adopting import adopt
from sftlab.execute.engines import engine_at
from sftlab.execute.kept_checkpoints import note_unsorted
from sftlab.execute.measuring import measure_here, probe_here
from sftlab.execute.shared_training import cut_record, longer_record
from sftlab.execute.training import train_here
from sftlab.execute.workplace import Workplace
from sftlab.execute.writing_ahead import forget_answers, written_ahead
from sftlab.lm.generation import Asking
from sftlab.lm.kept_answers import KeptAnswers
from sftlab.plan.base_size import num_weights
from sftlab.plan.contents import resolved_template
from sftlab.plan.devices import default_precision
from sftlab.plan.tasks import Job, Task
from sftlab.store import Kind, Record
from sftlab.study.cells import MeasureCell, ProbeCell, RunCell, ScoreCell
from sftlab.study.declaration import Template
from sftlab.train.run import TrainedRun


def train(place: Workplace, job: Job, task: Task) -> Record:
    """Train one run, or cut it from a longer one; leaves its checkpoints in the store and returns its record."""
    cell = task.cell
    assert isinstance(cell, RunCell)
    facts = _run_facts(cell, job)
    longer = None if task.trains else longer_record(cell, place.store)
    if longer is not None:
        return cut_record(cell, longer, place.store, facts)
    start = time.monotonic()
    note_unsorted(cell.trajectory, place.setup.resolved, place.store)
    trained = _trained(place, job, cell)
    shutil.rmtree(place.store.working_folder(cell.identity), ignore_errors=True)
    provenance = {**_provenance(place, start), "kernel": trained.kernel}
    return Record(cell.identity, "train", facts, trained.result, trained.rows, provenance)


def _trained(place: Workplace, job: Job, cell: RunCell) -> TrainedRun:
    if cell.adopted:
        return adopt(place, job, cell)
    return train_here(place, job, cell) if place.all_devices is None else _train_on_all(place, job, cell)


def _train_on_all(place: Workplace, job: Job, cell: RunCell) -> TrainedRun:
    """On all devices of the worker; those on a GPU have its memory for themselves, before and afterwards."""
    ranks = place.all_devices
    assert ranks is not None
    if place.setup.device.kind == "cpu":
        return ranks.train(job, cell, place.tell)
    place.forget_all_models()
    try:
        return ranks.train(job, cell, place.tell)
    finally:
        ranks.stop()


def _run_facts(cell: RunCell, job: Job) -> dict[str, object]:
    spec = cell.spec
    return {
        "run": spec.run,
        "base": spec.base,
        "num_weights": num_weights(job.base),
        "recipe": spec.recipe,
        "trajectory": cell.trajectory,
        "epochs": spec.epochs,
    }


def score(place: Workplace, job: Job, task: Task) -> Record:
    """Score one checkpoint on one benchmark."""
    cell = task.cell
    assert isinstance(cell, ScoreCell)
    start = time.monotonic()
    study = place.setup.resolved.study
    precision = job.run.spec.precision if job.run else study.precision or default_precision()
    benchmark, template = _benchmark(place, cell), _template(place, job, cell)
    place.store.keep_questions(cell.benchmark_digest, lambda: question_frame(benchmark))
    engine = engine_at(place, job, cell.epoch, precision)
    working = place.store.working_folder(cell.identity)
    if isinstance(engine, BuiltInEngine):
        answers = written_ahead(place, job, task, engine=engine, asking=_asking(place, job, engine))
        engine = replace(engine, kept=KeptAnswers(working), written=answers)
    elif isinstance(engine, ServedEngine):
        engine = engine.keeping(KeptAnswers(working))
    scored = score_with(
        engine,
        benchmark,
        template=template,
        desk=_desk(place),
        compiled=place.store.tokens_folder,
        on_progress=lambda share: place.moved(share, 0),
    )
    shutil.rmtree(working, ignore_errors=True)
    forget_answers(place, task)
    facts = {"checkpoint": cell.checkpoint, "benchmark": benchmark.name, "benchmark_digest": cell.benchmark_digest}
    result = {**scored.result, "noise": measured_noise(engine, benchmark, scored, template=template)}
    return Record(cell.identity, "score", facts, result, scored.rows, _provenance(place, start))


def measure(place: Workplace, job: Job, task: Task) -> Record:
    """Take one measure of a dataset sample, under its base or beside a benchmark."""
    cell = task.cell
    assert isinstance(cell, MeasureCell)
    start = time.monotonic()
    measured = measure_here(place, job, cell)
    facts = {"measure": cell.measure, "base": cell.base, "dataset": cell.dataset, "samples": cell.samples}
    return Record(
        cell.identity,
        "measure",
        facts,
        {},
        {"properties": measured.properties, "examples": measured.examples},
        _provenance(place, start),
    )


def probe(place: Workplace, job: Job, task: Task) -> Record:
    """Take one measure of what a checkpoint makes of the probe texts."""
    cell = task.cell
    assert isinstance(cell, ProbeCell)
    start = time.monotonic()
    facts = {"measure": cell.measure, "checkpoint": cell.checkpoint}
    rows = {cell.measure: probe_here(place, job, cell)}
    return Record(cell.identity, "probe", facts, {}, rows, _provenance(place, start))


STEPS: Mapping[Kind, Callable[[Workplace, Job, Task], Record]] = {
    "train": train,
    "score": score,
    "measure": measure,
    "probe": probe,
}


def _desk(place: Workplace) -> Desk | None:
    """Where this study's judge is asked, if it has one."""
    study = place.setup.resolved.study
    judge = study.evaluation.judge
    return None if judge is None else Desk(judge, place.store.judge_folder, study.study)


def _benchmark(place: Workplace, cell: ScoreCell) -> Benchmark:
    """The items, written out once for as long as the worker lives."""
    evaluation = place.setup.resolved.study.evaluation
    limit = cell.benchmark.items or evaluation.items
    key = (cell.benchmark_digest, cell.benchmark.name)
    if key not in place.benchmarks:
        place.benchmarks[key] = load_benchmark(
            cell.benchmark,
            folder=Path.cwd(),
            benchmarks_dir=Path(evaluation.benchmarks_dir) if evaluation.benchmarks_dir else None,
            items=None if limit == "all" else limit,
        )
    return replace(place.benchmarks[key], system_prompt=evaluation.system_prompt)


def _template(place: Workplace, job: Job, cell: ScoreCell) -> Literal["plain"] | Template:
    study = place.setup.resolved.study
    asked_as = study.base_template(cell.benchmark) if cell.base_condition else study.asked_template
    return asked_as if asked_as == "plain" else resolved_template(asked_as, job.base.base)


def _asking(place: Workplace, job: Job, engine: BuiltInEngine) -> Callable[[ScoreCell], Asking | None]:
    def asked(cell: ScoreCell) -> Asking | None:
        benchmark, template = _benchmark(place, cell), _template(place, job, cell)
        return asking(engine.model, benchmark, template, folder=place.store.tokens_folder)

    return asked


def _provenance(place: Workplace, start: float) -> dict[str, object]:
    return {**place.environment, "wall_seconds": time.monotonic() - start}

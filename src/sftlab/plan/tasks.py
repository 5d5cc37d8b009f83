"""What is still to do, in the order in which it answers most."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from sftlab.plan.resolve import Resolved
from sftlab.store import Kind, Record, Store
from sftlab.study.cells import BaseCell, MeasureCell, ProbeCell, RunCell, ScoreCell

ModelCell = ScoreCell | ProbeCell
"""What is asked of one checkpoint."""
Cell = RunCell | ModelCell | MeasureCell


@dataclass(frozen=True)
class Task:
    """One record that the store does not hold yet.

    `trains` is False where nothing has to be computed: a run whose record is cut from that of a longer one.
    """

    kind: Kind
    identity: str
    cell: Cell
    trains: bool = True


@dataclass(frozen=True)
class Job:
    """Tasks on one model that follow one another while it is in memory: of one trajectory, or of a base itself.

    Of runs that share a trajectory, `run` is the one that is trained; the records of shorter ones are cut from its.
    """

    base: BaseCell
    run: RunCell | None
    tasks: tuple[Task, ...]
    wave: int

    @property
    def name(self) -> str:
        """The run, or the base itself."""
        return self.run.spec.run if self.run else self.base.base.name


@dataclass(frozen=True)
class Counts:
    """How many cells of a kind there are, and how many of them the store holds."""

    total: int
    held: int


def pending_jobs(resolved: Resolved, store: Store) -> tuple[Job, ...]:
    """Jobs for all that is missing, breadth first: every base itself, then every dataset once, then replicates.

    Within a wave (one level of every factor but base and dataset) jobs of a base follow one another. Scores that wait
    for a choice are no tasks yet: settle the study again (see `settled`) when these jobs are done.
    """
    cells = resolved.cells
    trajectory_of = {run.spec.run: run.trajectory for run in cells.runs}
    asked: dict[str, list[ModelCell]] = defaultdict(list)
    of_models: tuple[ModelCell, ...] = (*cells.scores, *cells.probes)
    for cell in of_models:
        if not cell.waits and not store.has(cell.identity):
            asked[cell.base if cell.run is None else trajectory_of[cell.run]].append(cell)
    measures: dict[str, list[Task]] = defaultdict(list)
    distinct = {measure.identity: measure for measure in reversed(cells.measures)}
    for measure in reversed(distinct.values()):
        if not store.has(measure.identity):
            measures[measure.base].append(Task("measure", measure.identity, measure))
    bases = {base.base.name: base for base in cells.bases}
    jobs = [
        Job(base, None, tuple(tasks), wave=0)
        for name, base in bases.items()
        if (tasks := [*_model_tasks(asked.get(name, ())), *measures.get(name, ())])
    ]
    records = longest_records(store)
    for runs, wave in _trajectories(cells.runs):
        wanted = _model_tasks(asked.get(runs[0].trajectory, ()))
        training = _training_tasks(runs, wanted, store, records.get(runs[0].trajectory))
        if training or wanted:
            trained = training[0].cell if training else runs[-1]
            assert isinstance(trained, RunCell)
            jobs.append(Job(bases[trained.spec.base], trained, (*training, *wanted), wave))
    order = {name: place for place, name in enumerate(bases)}
    return tuple(sorted(jobs, key=lambda job: (job.wave, order[job.base.base.name])))


def _trajectories(runs: Iterable[RunCell]) -> Iterable[tuple[list[RunCell], int]]:
    """Distinct runs by trajectory, shortest first, each with how many runs of its base and dataset came before."""
    seen: Counter[tuple[str, str]] = Counter()
    shared: dict[str, dict[str, RunCell]] = {}
    waves: dict[str, int] = {}
    for run in runs:
        place = (run.spec.base, run.spec.dataset)
        seen[place] += 1
        waves.setdefault(run.trajectory, seen[place])
        shared.setdefault(run.trajectory, {}).setdefault(run.identity, run)
    for trajectory, distinct in shared.items():
        yield sorted(distinct.values(), key=lambda run: run.spec.epochs), waves[trajectory]


def _model_tasks(asked: Iterable[ModelCell]) -> list[Task]:
    """One task for each distinct result: runs of one trajectory are the same model after the same epoch.

    What is asked of one checkpoint follows one another.
    """
    distinct: dict[str, Task] = {}
    for cell in sorted(asked, key=lambda cell: cell.epoch):
        kind: Kind = "score" if isinstance(cell, ScoreCell) else "probe"
        distinct.setdefault(cell.identity, Task(kind, cell.identity, cell))
    return list(distinct.values())


def _training_tasks(
    runs: Sequence[RunCell], wanted: Sequence[Task], store: Store, longest: Record | None
) -> list[Task]:
    """What to train of one trajectory's runs, longest first, and whose record is then cut from a longer one's.

    A run is trained again only where its checkpoints are gone and something is still to be asked of them.
    """
    held_epochs = cast("int", longest.spec["epochs"]) if longest is not None else 0
    missing = [run for run in runs if not store.has(run.identity)]
    gone = max(
        (epoch for epoch in _epochs(wanted) if not store.checkpoint_folder(runs[0].trajectory, epoch).is_dir()),
        default=0,
    )
    beyond = max((run.spec.epochs for run in missing if run.spec.epochs > held_epochs), default=0)
    needed = max(gone, beyond)
    trained = next((run for run in runs if run.spec.epochs >= needed), None) if needed else None
    first = [Task("train", trained.identity, trained)] if trained is not None else []
    cut = [Task("train", run.identity, run, trains=False) for run in reversed(missing) if run is not trained]
    return [*first, *cut]


def _epochs(wanted: Iterable[Task]) -> set[int]:
    return {task.cell.epoch for task in wanted if isinstance(task.cell, ModelCell)}


def longest_records(store: Store) -> dict[str, Record]:
    """The finished run that goes furthest on each trajectory."""
    longest: dict[str, Record] = {}
    for record in store.records("train"):
        trajectory = record.spec.get("trajectory")
        if isinstance(trajectory, str):
            known = longest.get(trajectory)
            if known is None or cast("int", known.spec["epochs"]) < cast("int", record.spec["epochs"]):
                longest[trajectory] = record
    return longest


def counts(resolved: Resolved, store: Store) -> dict[str, Counts]:
    """Distinct runs, scores and measures of a study, and how many the store holds.

    Of candidates that are still to be chosen among, the scores of one are counted: as many as will be wanted.
    """
    cells = resolved.cells
    kinds: dict[str, Iterable[Cell]] = {
        "runs": cells.runs,
        "scores": cells.scores,
        "measures": (*cells.measures, *cells.probes),
    }
    found = {}
    for kind, group in kinds.items():
        waits: dict[str, bool] = {}
        for cell in group:
            waits[cell.identity] = isinstance(cell, ModelCell) and cell.waits and waits.get(cell.identity, True)
        found[kind] = Counts(len(waits), sum(store.has(identity) and not waits[identity] for identity in waits))
    return found

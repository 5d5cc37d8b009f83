"""What is still to do, in the order in which it answers most."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from sftlab.plan.resolve import Resolved
from sftlab.store import Kind, Store
from sftlab.study.cells import BaseCell, MeasureCell, RunCell, ScoreCell

Cell = RunCell | ScoreCell | MeasureCell


@dataclass(frozen=True)
class Task:
    """One record that the store does not hold yet."""

    kind: Kind
    identity: str
    cell: Cell


@dataclass(frozen=True)
class Job:
    """Tasks on one model that follow one another while it is in memory: a run and its scores, or a base's own."""

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

    Within a wave (one level of every factor but base and dataset) jobs of a base follow one another.
    """
    cells = resolved.cells
    scores: dict[str | None, list[Task]] = defaultdict(list)
    for score in cells.scores:
        if not store.has(score.identity):
            scores[score.run or score.base].append(Task("score", score.identity, score))
    measures: dict[str, list[Task]] = defaultdict(list)
    for measure in cells.measures:
        if not store.has(measure.identity):
            measures[measure.base].append(Task("measure", measure.identity, measure))
    bases = {base.base.name: base for base in cells.bases}
    jobs = [
        Job(base, None, tuple(tasks), wave=0)
        for name, base in bases.items()
        if (tasks := [*scores.get(name, ()), *measures.get(name, ())])
    ]
    trained: set[str] = set()
    for run, wave in _waves(cells.runs):
        if run.identity in trained:
            continue
        trained.add(run.identity)
        run_scores = scores.get(run.spec.run, [])
        trains = not store.has(run.identity) or _lacks_checkpoint(run, run_scores, store)
        todo = [Task("train", run.identity, run), *run_scores] if trains else run_scores
        if todo:
            jobs.append(Job(bases[run.spec.base], run, tuple(todo), wave))
    order = {name: place for place, name in enumerate(bases)}
    return tuple(sorted(jobs, key=lambda job: (job.wave, order[job.base.base.name])))


def _waves(runs: Iterable[RunCell]) -> Iterable[tuple[RunCell, int]]:
    """Each run with how many runs of the same base and dataset come before it, from 1."""
    seen: Counter[tuple[str, str]] = Counter()
    for run in runs:
        place = (run.spec.base, run.spec.dataset)
        seen[place] += 1
        yield run, seen[place]


def _lacks_checkpoint(run: RunCell, scores: Iterable[Task], store: Store) -> bool:
    epochs = {task.cell.epoch for task in scores if isinstance(task.cell, ScoreCell)}
    return any(not store.checkpoint_folder(run.trajectory, epoch).is_dir() for epoch in epochs)


def counts(resolved: Resolved, store: Store) -> dict[str, Counts]:
    """Distinct runs, scores and measures of a study, and how many the store holds."""
    cells = resolved.cells
    kinds: dict[str, Iterable[Cell]] = {"runs": cells.runs, "scores": cells.scores, "measures": cells.measures}
    found = {}
    for kind, group in kinds.items():
        identities = {cell.identity for cell in group}
        found[kind] = Counts(len(identities), sum(store.has(identity) for identity in identities))
    return found

"""Which checkpoints stay on disk: those the study keeps, and those that have still to be scored or measured."""

import shutil

from sftlab.analyse.choice import scored_epoch
from sftlab.plan.resolve import Resolved
from sftlab.store import Store
from sftlab.study.cells import ProbeCell, RunCell, ScoreCell

NOTE_PREFIX = "unsorted-"
"""Of a trajectory whose checkpoints were all written for scoring and are not yet sorted out."""


def note_unsorted(trajectory: str, resolved: Resolved, store: Store) -> None:
    """Say before training that its checkpoints are to be sorted out later; those that are there already will stay."""
    name = f"{NOTE_PREFIX}{trajectory}"
    if resolved.study.checkpoints == "all":
        store.remove_note(name)
    elif store.read_note(name) is None:
        store.write_note(name, {"keep": _epochs_on_disk(trajectory, store)})


def remove_unwanted_checkpoints(resolved: Resolved, store: Store, trajectory: str | None = None) -> None:
    """Of trajectories trained for this study, remove what it neither keeps nor has still to score.

    Of one trajectory where it is named. A kill before or during this is made good by the next call.
    """
    runs: dict[str, list[RunCell]] = {}
    for run in resolved.cells.runs:
        runs.setdefault(run.trajectory, []).append(run)
    for name, note in store.notes(f"{NOTE_PREFIX}{trajectory or ''}"):
        of_trajectory = runs.get(name.removeprefix(NOTE_PREFIX))
        if of_trajectory is None or not all(_is_settled(run, resolved, store) for run in of_trajectory):
            continue
        wanted = _unscored_epochs(of_trajectory, resolved, store)
        there = note["keep"]
        assert isinstance(there, list)
        keep = {*there, *wanted, *(scored_epoch(run, store) for run in of_trajectory)}
        for epoch in _epochs_on_disk(of_trajectory[0].trajectory, store):
            if epoch not in keep:
                shutil.rmtree(store.checkpoint_folder(of_trajectory[0].trajectory, epoch), ignore_errors=True)
        if not wanted:
            store.remove_note(name)


def _is_settled(run: RunCell, resolved: Resolved, store: Store) -> bool:
    over = store.has(run.identity) or store.failure(run.identity) is not None
    return over and run.spec.run not in resolved.cells.undecided


def _unscored_epochs(runs: list[RunCell], resolved: Resolved, store: Store) -> set[int]:
    names = {run.spec.run for run in runs}
    cells: tuple[ScoreCell | ProbeCell, ...] = (*resolved.cells.scores, *resolved.cells.probes)
    return {cell.epoch for cell in cells if cell.run in names and not store.has(cell.identity)}


def _epochs_on_disk(trajectory: str, store: Store) -> list[int]:
    folder = store.checkpoint_folder(trajectory, 0).parent
    return sorted(int(path.name.removeprefix("epoch-")) for path in folder.glob("epoch-*") if path.is_dir())

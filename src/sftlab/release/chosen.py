"""Which checkpoint of a study somebody means."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sftlab.analyse.cell_status import cell_status
from sftlab.analyse.choice import scored_epoch
from sftlab.errors import StudyError
from sftlab.store import Store
from sftlab.study.cells import BaseCell, Cells, RunCell
from sftlab.study.spelling import nearest

NAMED_AT_MOST = 4


@dataclass(frozen=True)
class Chosen:
    """A checkpoint that is on disk, with the run that it belongs to and the base that was tuned."""

    run: RunCell
    base: BaseCell
    epoch: int
    folder: Path

    @property
    def label(self) -> str:
        """What tables call the checkpoint."""
        return self.run.checkpoint(self.epoch)


def chosen_checkpoint(cells: Cells, store: Store, asked: str, *, epoch: int | None = None) -> Chosen:
    """The checkpoint meant by the name of a run or the label of a checkpoint, or by how only one of them begins.

    Without `epoch` (or a label, which says it) it is the one that is scored: the last, or the best where the study
    keeps that. Raises StudyError where nothing or several are meant, or where the weights are not there.
    """
    labels = {run.checkpoint(each): (run, each) for run in reversed(cells.runs) for each in _epochs(run)}
    names = {run.spec.run: run for run in cells.runs}
    run, of_label = _named(asked, names, labels)
    if epoch is not None and of_label is not None and epoch != of_label:
        raise StudyError(
            f"{asked} is the checkpoint of epoch {of_label}, and --epoch says {epoch}: give one of the two"
        )
    base = next(base for base in cells.bases if base.base.name == run.spec.base)
    wanted = epoch or of_label or scored_epoch(run, store) or run.spec.epochs
    folder = store.checkpoint_folder(run.trajectory, wanted)
    if not folder.is_dir():
        raise StudyError(_missing(run, wanted, store))
    return Chosen(run, base, wanted, folder)


def _epochs(run: RunCell) -> range:
    return range(1, run.spec.epochs + 1)


def _named(
    asked: str, names: Mapping[str, RunCell], labels: Mapping[str, tuple[RunCell, int]]
) -> tuple[RunCell, int | None]:
    if asked in names:
        return names[asked], None
    if asked in labels:
        return labels[asked]
    runs = [name for name in names if name.startswith(asked)] if asked else []
    begun = [label for label in labels if label.startswith(asked)] if asked else []
    trajectories = {labels[label][0].trajectory for label in begun}
    if len(runs) == 1 and not begun:
        return names[runs[0]], None
    if not runs and len(trajectories) == 1:
        run, only = labels[begun[0]]
        return run, only if len(begun) == 1 else None
    if runs or begun:
        raise StudyError(f"{asked!r} is how several begin, and one is needed: {_some([*runs, *begun])}")
    raise StudyError(f"there is no run or checkpoint {asked!r}{_nearest(asked, names, labels)}")


def _nearest(asked: str, names: Iterable[str], labels: Iterable[str]) -> str:
    clause = nearest(asked, [*names, *labels]).partition(";")[0]
    return f"{clause}; `sftlab table STUDY runs` and `checkpoints` list what there is"


def _some(words: list[str]) -> str:
    shown = ", ".join(words[:NAMED_AT_MOST])
    return shown if len(words) <= NAMED_AT_MOST else f"{shown} and {len(words) - NAMED_AT_MOST} more"


def _missing(run: RunCell, wanted: int, store: Store) -> str:
    there = [each for each in _epochs(run) if store.checkpoint_folder(run.trajectory, each).is_dir()]
    if there:
        kept = ", ".join(str(each) for each in there)
        return f"{run.spec.run} has no weights of epoch {wanted} on disk: legal here is {kept}"
    status = cell_status(run.identity, store)
    if status.status == "done":
        return f"the weights of {run.spec.run} are gone from {store.root / 'checkpoints'}: only its results are kept"
    reason = f": {status.reason}" if status.reason else ""
    return f"{run.spec.run} is {status.status} and has no weights yet (`sftlab run` trains it){reason}"

"""Scores that a store holds of a study's checkpoints, but not as the study asks for them today."""

from sftlab.analyse.wording import counted
from sftlab.store import Store
from sftlab.study.cells import Cells


def superseded_notes(cells: Cells, store: Store) -> tuple[str, ...]:
    """One sentence where scores are missing of which the store has others: same checkpoint and benchmark, other recipe.

    A score counts only under the identity of what it was computed by. That changes with the definition of a benchmark
    in the study file, and with versions that score otherwise. Reads headers of records alone.
    """
    held = {(record.spec.get("checkpoint"), record.spec.get("benchmark")) for record in store.records("score")}
    lacking = [
        cell for cell in cells.scores if not store.has(cell.identity) and (cell.checkpoint, cell.benchmark.name) in held
    ]
    if not lacking:
        return ()
    are, were, them = ("is", "was", "it") if len(lacking) == 1 else ("are", "were", "them")
    return (
        f"{counted(len(lacking), 'score')} that {are} not done {were} computed once under another definition (an "
        f"earlier version of sftlab, or other settings of the benchmark): the store keeps {them}, uncounted, and "
        f"`sftlab run` computes {them} anew",
    )

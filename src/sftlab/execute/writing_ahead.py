"""Answers of one checkpoint to all benchmarks that are still to do, written in one queue.

Rows that are done make room for those of the next benchmark; prompts that share their beginning compute it once.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sftlab.errors import SftlabError
from sftlab.evaluate.engines.built_in import BuiltInEngine
from sftlab.evaluate.engines.engine import TextAnswers
from sftlab.execute.workplace import Workplace
from sftlab.lm.generation import Asking
from sftlab.lm.kept_answers import KeptAnswers
from sftlab.plan.tasks import Job, Task
from sftlab.study.cells import ScoreCell
from sftlab.study.identity import digest


@dataclass(frozen=True)
class WrittenAhead:
    """Answers by the digest of what was asked; `scores` are the identities that they are for, in turn."""

    scores: tuple[str, ...]
    answers: Mapping[str, TextAnswers]
    folder: Path


def written_ahead(
    place: Workplace,
    job: Job,
    task: Task,
    *,
    engine: BuiltInEngine,
    asking: Callable[[ScoreCell], Asking | None],
) -> Mapping[str, TextAnswers]:
    """Answers to what this task and those of the same checkpoint behind it ask.

    All are kept in the store until the last of them is scored, so that none is written twice.
    """
    held = place.written
    if held is None or task.identity not in held.scores:
        scores = _scores_of_checkpoint(job, task)
        asked = [one for cell in scores.values() if (one := _known(asking, cell)) is not None]
        folder = place.store.working_folder(f"answers-{_name(job, scores[task.identity], engine)}")
        kept = replace(engine, kept=KeptAnswers(folder))
        held = WrittenAhead(tuple(scores), _answers(kept, asked, lambda share: place.moved(share, 0)), folder)
        place.written = held
    return held.answers


def forget_answers(place: Workplace, task: Task) -> None:
    """Let go of what was written ahead, if nothing behind this task asks for it."""
    if place.written is not None and task.identity == place.written.scores[-1]:
        shutil.rmtree(place.written.folder, ignore_errors=True)
        place.written = None


def _scores_of_checkpoint(job: Job, task: Task) -> dict[str, ScoreCell]:
    cell = task.cell
    assert isinstance(cell, ScoreCell)
    behind = job.tasks[job.tasks.index(task) :]
    return {
        one.identity: one.cell
        for one in behind
        if isinstance(one.cell, ScoreCell) and one.cell.checkpoint == cell.checkpoint
    }


def _known(asking: Callable[[ScoreCell], Asking | None], cell: ScoreCell) -> Asking | None:
    try:
        return asking(cell)
    except SftlabError:
        return None  # a benchmark that cannot be read says so in its own turn


def _name(job: Job, cell: ScoreCell, engine: BuiltInEngine) -> str:
    weights = [job.base.digest, None if job.run is None else job.run.trajectory, cell.epoch]
    return digest({"weights": weights, "engine": str(engine.about), "room": engine.max_batch_tokens})


def _answers(
    engine: BuiltInEngine, asked: Sequence[Asking], on_progress: Callable[[float], None]
) -> dict[str, TextAnswers]:
    assert engine.kept is not None
    distinct = {one.digest: one for one in asked}
    found: dict[str, TextAnswers] = {}
    for name, one in distinct.items():
        texts = engine.kept.read(name)
        if len(texts) == len(one.prompts):
            found[name] = TextAnswers(tuple(texts[place] for place in range(len(texts))))
    left = [one for name, one in distinct.items() if name not in found]
    if left:
        for one, answers in zip(left, engine.generate_all(left, on_progress=on_progress), strict=True):
            found[one.digest] = answers
            if not answers.unfit:
                engine.kept.add(one.digest, dict(enumerate(answers.texts)))
        engine.kept.flush()
    return found

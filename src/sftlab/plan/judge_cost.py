"""What a study's judge will be asked for the missing scores, and what that costs, before the first call."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sftlab.benchmarks.loading import benchmark_outline
from sftlab.errors import StudyError
from sftlab.plan.benchmark_checks import NOTE as BENCHMARKS_NOTE
from sftlab.plan.judges import judge_of, judge_protocol
from sftlab.plan.tasks import Job
from sftlab.store import Store
from sftlab.study.cells import ScoreCell
from sftlab.study.declaration import Evaluation
from sftlab.study.judge import Judge

ITEMS_UNREAD = 1000


@dataclass(frozen=True)
class JudgeCost:
    """Questions to the judge for the missing scores, at most, and their tokens; US dollars where prices are given."""

    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    usd: float | None


def judge_cost(evaluation: Evaluation, jobs: tuple[Job, ...], store: Store) -> JudgeCost | None:
    """What the scores among these jobs will ask of the judge, before the first call; None where they ask nothing.

    An upper bound of calls: models that answer alike are judged once, and what was asked for a score that was
    interrupted is not asked again. Tokens are those of usual answers.
    """
    calls = input_tokens = output_tokens = 0
    read = store.read_note(BENCHMARKS_NOTE) or {}
    cells = [task.cell for job in jobs for task in job.tasks if isinstance(task.cell, ScoreCell)]
    for cell in cells:
        protocol = judge_protocol(cell.benchmark, evaluation.benchmarks_dir)
        if protocol is not None:
            judge = judge_of(evaluation, cell.benchmark)
            number = _num_items(evaluation, cell, read) * protocol.calls_per_item(judge)
            tokens = protocol.tokens_per_call(judge)
            calls += number
            input_tokens += number * tokens[0]
            output_tokens += number * tokens[1]
    if not calls:
        return None
    assert evaluation.judge is not None
    usd = evaluation.judge.usd(input_tokens, output_tokens)
    return JudgeCost(evaluation.judge.model, calls, input_tokens, output_tokens, usd)


def check_judge_budget(judge: Judge | None, cost: JudgeCost | None) -> None:
    """Raise StudyError where the missing scores ask more of the judge than the study allows."""
    if judge is None or cost is None:
        return
    limits = (("budget_calls", judge.budget_calls, cost.calls), ("budget_usd", judge.budget_usd, cost.usd))
    for name, limit, needed in limits:
        if limit is not None and needed is not None and needed > limit:
            usd = "" if cost.usd is None else f" ({cost.usd:.2f} US dollars)"
            raise StudyError(
                f"the missing scores ask the judge up to {cost.calls:,} questions{usd}, and evaluation.judge.{name} "
                f"allows {limit:g}: ask fewer `items`, or raise the limit"
            )


def _num_items(evaluation: Evaluation, cell: ScoreCell, read: Mapping[str, object]) -> int:
    folder = evaluation.benchmarks_dir
    outline = benchmark_outline(
        cell.benchmark, folder=Path.cwd(), benchmarks_dir=None if folder is None else Path(folder)
    )
    limit = cell.benchmark.items or evaluation.items
    there = cast("int", read.get(cell.benchmark_digest, outline.num_items or ITEMS_UNREAD))
    return there if limit == "all" else min(there, limit)

"""Which benchmarks a judge scores, and the part of a study's judge that is in such a score's identity."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from sftlab.benchmarks.judging import PROTOCOLS
from sftlab.benchmarks.judging.protocol import JudgeProtocol
from sftlab.benchmarks.loading import benchmark_outline
from sftlab.errors import StudyError
from sftlab.study.declaration import BenchmarkRef, Evaluation
from sftlab.study.judge import Judge


def judge_identity(evaluation: Evaluation, ref: BenchmarkRef) -> Mapping[str, object]:
    """What bears on the verdicts of a judged benchmark beside its prompts; nothing for any other.

    Raises StudyError where a benchmark is judged and the study names no judge.
    """
    protocol = judge_protocol(ref, evaluation.benchmarks_dir)
    if protocol is None:
        return {}
    return {"judge": protocol.parameters(judge_of(evaluation, ref))}


def judge_of(evaluation: Evaluation, ref: BenchmarkRef) -> Judge:
    """The study's judge, which a judged benchmark needs. Raises StudyError where there is none."""
    if evaluation.judge is None:
        raise StudyError(
            f"the benchmark {ref.name!r} is scored by a judge, and none is given: add to `evaluation` a "
            "`judge: {endpoint: http://localhost:8000/v1, model: NAME}`"
        )
    return evaluation.judge


@lru_cache
def judge_protocol(ref: BenchmarkRef, benchmarks_dir: str | None) -> JudgeProtocol | None:
    """How a benchmark's answers are judged, or None where they are not."""
    name = benchmark_outline(
        ref, folder=Path.cwd(), benchmarks_dir=None if benchmarks_dir is None else Path(benchmarks_dir)
    ).judge
    return None if name is None else PROTOCOLS[name]

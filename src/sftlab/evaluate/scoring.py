"""One checkpoint on one benchmark: from the model in memory to a score for every item."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from sftlab.analyse.wording import items_left_out, items_without_verdict
from sftlab.benchmarks.item import Benchmark, Reading, Scorer
from sftlab.errors import JudgeError, ModelError
from sftlab.evaluate.engines.built_in import BuiltInEngine
from sftlab.evaluate.engines.engine import Engine, unwatched
from sftlab.evaluate.item_rows import (
    Row,
    generative_rows,
    item_frame,
    likelihood_metrics,
    likelihood_rows,
    unfit_rows,
)
from sftlab.evaluate.judging.dialogues import DialogueForm
from sftlab.evaluate.judging.judged import judged_items
from sftlab.evaluate.judging.session import Desk
from sftlab.evaluate.questions import Question, questions
from sftlab.lm.base import LoadedBase
from sftlab.study.declaration import Template


@dataclass(frozen=True)
class ScoreOptions:
    """How a benchmark is asked, in batches of how many padded tokens, and who is told the share done."""

    template: Literal["plain"] | Template
    max_batch_tokens: int
    on_progress: Callable[[float], None] = unwatched
    desk: Desk | None = None


@dataclass(frozen=True)
class Scored:
    """`result`: status (done, or unfit where nothing can be asked), reason, and counts; `rows`: the frame `items`."""

    result: Mapping[str, Any]
    rows: Mapping[str, pl.DataFrame]


@dataclass(frozen=True)
class _Asked:
    """What one scorer found: rows, what could not be asked and why, answers that could not be read, and its size."""

    rows: list[Row]
    obstacles: dict[str, str]
    unparsed: int
    requests: int
    tokens: int
    out_of_memory: int
    capped: int = 0
    judge: Mapping[str, object] | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)


def score_benchmark(base: LoadedBase, benchmark: Benchmark, *, options: ScoreOptions) -> Scored:
    """Score what a base in memory holds now; see `score_with`."""
    engine = BuiltInEngine(base, options.max_batch_tokens)
    return score_with(engine, benchmark, template=options.template, desk=options.desk, on_progress=options.on_progress)


def score_with(
    engine: Engine,
    benchmark: Benchmark,
    *,
    template: Literal["plain"] | Template,
    desk: Desk | None = None,
    compiled: Path | None = None,
    on_progress: Callable[[float], None] = unwatched,
) -> Scored:
    """Score an engine's model on every item, by each of the benchmark's scorers.

    Rows: one for each item, scorer and metric (`likelihood_rows` says which). An item that does not fit the model's
    context, or alone does not fit in memory, is never cut: its rows have status `unfit`, a reason and no score. Counts
    in the result: `items`, `unfit_items` (under any scorer), `unparsed` by scorer, `capped_items` (fewer new tokens
    allowed than the benchmark says, because the context ends), `out_of_memory` (how often memory ran out and batches
    were halved), `requests` and `tokens` (of prompts and continuations; generated ones are not counted),
    `wall_seconds`; `engine` says which engine answered; `judge`, where one was asked, what and how often, and
    `left_out` counts by reason the items that have an answer and no verdict (status `failed`). Raises ModelError where
    the model's log-likelihoods are not finite numbers, and JudgeError where questions to the judge of `desk` stay open.
    `compiled` is the folder where benchmarks are kept as token arrays.
    """
    start = time.monotonic()
    asked_items, stops = questions(engine.model, benchmark, template, folder=compiled)
    found: dict[Scorer, _Asked] = {}
    for place, scorer in enumerate(benchmark.scorers):

        def progress(share: float, place: int = place) -> None:
            on_progress((place + share) / len(benchmark.scorers))

        if scorer == "likelihood":
            found[scorer] = _by_likelihood(engine, benchmark, asked_items, progress)
        elif scorer == "judge":
            form = DialogueForm(template, stops, benchmark.system_prompt)
            found[scorer] = _by_judge(engine, benchmark, asked_items, form=form, desk=desk, on_progress=progress)
        else:
            found[scorer] = _by_generation(engine, benchmark, asked_items, stops=stops, on_progress=progress)
    frame = item_frame([row for asked in found.values() for row in asked.rows])
    obstacles = {item: reason for asked in found.values() for item, reason in asked.obstacles.items()}
    left_out = {reason: count for asked in found.values() for reason, count in asked.left_out.items()}
    done = bool((frame["status"] == "done").any())
    result = {
        "status": "done" if done else "unfit",
        "reason": _reason(obstacles, left_out, len(benchmark.items), done=done),
        "items": len(benchmark.items),
        "unfit_items": len(obstacles),
        "capped_items": sum(asked.capped for asked in found.values()),
        "out_of_memory": sum(asked.out_of_memory for asked in found.values()),
        "unparsed": {scorer: asked.unparsed for scorer, asked in found.items()},
        "requests": sum(asked.requests for asked in found.values()),
        "tokens": sum(asked.tokens for asked in found.values()),
        "engine": str(engine.about),
        **{str(name): asked.judge for name, asked in found.items() if asked.judge is not None},
        **({"left_out": left_out} if left_out else {}),
        "wall_seconds": time.monotonic() - start,
    }
    return Scored(result, {"items": frame})


def _reason(obstacles: Mapping[str, str], left_out: Mapping[str, int], num_items: int, *, done: bool) -> str | None:
    """What is missing of a score, or why there is none."""
    said = [items_without_verdict(count, num_items, reason) for reason, count in left_out.items()]
    unfit = _left_out(obstacles, num_items) if done else None if left_out else _nothing_fits(obstacles)
    return "; ".join([*([unfit] if unfit else []), *said]) or None


def _nothing_fits(obstacles: Mapping[str, str]) -> str:
    if not obstacles:
        return "the benchmark has no items"
    item, reason = next(iter(obstacles.items()))
    return f"none of {len(obstacles)} items can be asked: of item {item}, {reason}"


def _left_out(obstacles: Mapping[str, str], num_items: int) -> str | None:
    if not obstacles:
        return None
    item, reason = next(iter(obstacles.items()))
    return items_left_out(len(obstacles), num_items, item, reason)


def _by_likelihood(
    engine: Engine, benchmark: Benchmark, asked_items: Sequence[Question], on_progress: Callable[[float], None]
) -> _Asked:
    model, own = engine.model, benchmark.choice_metrics
    obstacles = [question.likelihood_obstacle(model.context_length) for question in asked_items]
    fitting = [question for question, obstacle in zip(asked_items, obstacles, strict=True) if obstacle is None]
    requests = [request for question in fitting for request in question.continuations]
    answers = engine.log_likelihoods(requests, on_progress=on_progress)
    asked_of = [place for place, question in enumerate(fitting) for _ in question.continuations]
    unfit = {asked_of[request]: reason for request, reason in answers.unfit.items()}
    ends = np.cumsum([len(question.continuations) for question in fitting])
    parted = iter(enumerate(np.split(answers.log_likelihood, ends[:-1])))
    rows: list[Row] = []
    for place, (question, obstacle) in enumerate(zip(asked_items, obstacles, strict=True)):
        number, log_likelihood_C = next(parted) if obstacle is None else (-1, np.empty(0))
        reason = obstacle or unfit.get(number)
        obstacles[place] = reason
        if reason is not None:
            metrics = likelihood_metrics(question.item, own)
            rows.extend(unfit_rows(question.item, "likelihood", metrics, reason))
        elif np.isfinite(log_likelihood_C).all():
            rows.extend(likelihood_rows(question, log_likelihood_C, own))
        else:
            who = model.holding or model.name
            raise ModelError(f"the log-likelihoods of {who} are not finite: its weights may have diverged")
    num_tokens = sum(request.num_inputs + 1 for request in requests)
    named = _named(asked_items, obstacles)
    return _Asked(rows, named, 0, len(requests), num_tokens, answers.out_of_memory)


def _by_generation(
    engine: Engine,
    benchmark: Benchmark,
    asked_items: Sequence[Question],
    *,
    stops: tuple[str, ...],
    on_progress: Callable[[float], None],
) -> _Asked:
    assert benchmark.read is not None, "a benchmark with generated answers says how they are read"
    limit, context_length = benchmark.max_new_tokens, engine.model.context_length
    obstacles = [question.generation_obstacle(context_length, limit) for question in asked_items]
    fitting = [question for question, obstacle in zip(asked_items, obstacles, strict=True) if obstacle is None]
    prompts = [question.prompt_ids for question in fitting]
    answers = engine.generate(prompts, max_new_tokens=limit, stops=stops, on_progress=on_progress)
    readings = [
        None if place in answers.unfit else benchmark.read(question.item, text)
        for place, (question, text) in enumerate(zip(fitting, answers.texts, strict=True))
    ]
    in_turn = iter(enumerate(readings))
    metrics = next((_metrics(reading) for reading in readings if reading is not None), (benchmark.metric,))
    rows: list[Row] = []
    for place, (question, obstacle) in enumerate(zip(asked_items, obstacles, strict=True)):
        number, reading = next(in_turn) if obstacle is None else (-1, None)
        if reading is not None:
            rows.extend(generative_rows(question.item, reading, answers.texts[number]))
        else:
            reason = obstacle or answers.unfit[number]
            obstacles[place] = reason
            rows.extend(unfit_rows(question.item, "generative", metrics, reason))
    return _Asked(
        rows,
        _named(asked_items, obstacles),
        sum(reading is not None and not reading.parsed for reading in readings),
        len(prompts),
        sum(map(len, prompts)),
        answers.out_of_memory,
        sum(len(prompt) + limit > context_length for prompt in prompts),
    )


def _by_judge(
    engine: Engine,
    benchmark: Benchmark,
    asked_items: Sequence[Question],
    *,
    form: DialogueForm,
    desk: Desk | None,
    on_progress: Callable[[float], None],
) -> _Asked:
    if desk is None:
        raise JudgeError(f"the benchmark {benchmark.name} is scored by a judge, and none is given: `evaluation.judge`")
    found = judged_items(engine, benchmark, asked_items, form=form, desk=desk, on_progress=on_progress)
    held = found.held
    return _Asked(
        found.rows,
        dict(found.obstacles),
        sum(found.left_out.values()),
        held.requests,
        held.tokens,
        held.out_of_memory,
        held.capped,
        found.judge,
        found.left_out,
    )


def _metrics(reading: Reading) -> tuple[str, ...]:
    return (reading.metric, *(other.name for other in reading.others))


def _named(asked_items: Sequence[Question], obstacles: Sequence[str | None]) -> dict[str, str]:
    return {
        question.item.item: obstacle
        for question, obstacle in zip(asked_items, obstacles, strict=True)
        if obstacle is not None
    }

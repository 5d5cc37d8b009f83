"""Multiple choice and free answers: sftlab against lm-evaluation-harness and against transformers' `generate`.

    python perf/scoring_speed.py --smallest
    python perf/scoring_speed.py --save

Five-shot MMLU (ten subjects) and zero-shot BoolQ on a random Llama in float32, on one thread, by sftlab and by the
harness' own Hugging Face backend, which gets the model and the tokenizer in memory and its own task objects anew, as
`simple_evaluate` would make them. Accuracies must be equal item by item and log-likelihoods to 1e-4 before a ratio is
shown. `first` is a checkpoint for which files are read, prompts written and encoded; `next` is another checkpoint
of the same base, for which sftlab has them. Free answers: several tasks with stops and limits of their own in one
queue, against `generate` called task by task in batches of prompts of like length; the texts must be equal.
"""

import argparse
import contextlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from clock import Instant, Span, interleaved, median_span
from free_answers import FreeTask, by_generate, by_queue, free_tasks
from llama_shapes import SHAPES, model
from record import Result, machine, markdown_table, say
from shared_benchmarks import data_folder, shared_tasks, trained_tokenizer, write_tasks

if TYPE_CHECKING:
    from sftlab.lm.base import LoadedBase

POSITIONS = 4096
LOG_LIKELIHOOD_BOUND = 1e-4
"""In nats; the harness sums in float32."""
MAX_BATCH_TOKENS = 8192
"""As a study scores on a CPU."""
HARNESS_BATCH = 8
"""Rows of a batch: the quickest of 8, 16, 32 and 64 (27, 30, 34 and 42 CPU seconds in a trial with a model of 4M)."""
MMLU, BOOLQ, BOTH, FREE = "five-shot MMLU", "zero-shot BoolQ", "both", "free answers"
Json = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Scores:
    """What each benchmark took, and every item's accuracy and gold log-likelihood, task by task."""

    spans: dict[str, Span]
    accuracy: np.ndarray
    log_likelihood: np.ndarray


def main() -> None:
    """Run all sides in turn, compare what came out, and show the ratios."""
    asked = _arguments()
    quiet()
    at_start = machine()
    with tempfile.TemporaryDirectory(prefix="sftlab-scoring-speed-") as name:
        folder = Path(name)
        published = None if asked.smallest else data_folder()
        tasks = shared_tasks(
            subjects=asked.subjects, items=asked.items, boolq_items=asked.boolq_items, published=published
        )
        theirs = write_tasks(tasks, folder)
        base = base_of(asked.size, tasks)
        say(f"{sum(len(task.rows['test']) for task in tasks)} items, {'published' if published else 'made up'}")
        benchmarks = {MMLU: [task.name for task in tasks[:-1]], BOOLQ: [tasks[-1].name]}
        choices = interleaved(_choice_sides(base, benchmarks, theirs, folder, asked), repeats=asked.repeats)
        differences = largest_difference(choices)
        free = free_tasks(base, count=asked.free_items)
        answers = interleaved(_answer_sides(base, free, asked), repeats=asked.repeats)
        _require_equal_texts(answers, free)
    spans = {
        name: {side: median_span(one.spans[name] for one in found) for side, found in choices.items()}
        for name in (*benchmarks, BOTH)
    }
    spans[FREE] = {side: median_span(span for span, _ in found) for side, found in answers.items()}
    settings = {
        "model": asked.size,
        "subjects": asked.subjects,
        "items_a_subject": asked.items,
        "boolq_items": asked.boolq_items,
        "free_items_a_task": asked.free_items,
        "harness_batch": asked.harness_batch,
        "generate_batch": asked.generate_batch,
        "repeats": asked.repeats,
        "benchmarks": "published" if published else "made up",
    }
    values: Json = {name: {side: vars(span) for side, span in sides.items()} for name, sides in spans.items()}
    values["largest_difference_nats"] = differences
    Result("scoring-speed", settings, values, table(spans, differences)).finish(at_start, save=asked.save)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Scoring by sftlab against lm-evaluation-harness and generate.")
    parser.add_argument("--size", choices=tuple(SHAPES), help="of the model; 4M if not given")
    parser.add_argument("--subjects", type=int, help="of MMLU; 10 if not given")
    parser.add_argument("--items", type=int, help="questions a subject at most; 100 if not given")
    parser.add_argument("--boolq-items", type=int, help="questions of BoolQ at most; 500 if not given")
    parser.add_argument("--free-items", type=int, help="prompts a task of free answers; 64 if not given")
    parser.add_argument("--harness-batch", type=int, default=HARNESS_BATCH, help="rows of a batch of the harness")
    parser.add_argument("--generate-batch", type=int, default=16, help="rows of a batch of generate")
    parser.add_argument("--repeats", type=int, default=3, help="all sides in turn so often; medians count")
    parser.add_argument("--smallest", action="store_true", help="only to see that it works: 0.3M, few items, once")
    parser.add_argument("--save", action="store_true", help="keep the result under perf/results/")
    asked = parser.parse_args()
    usual = {"size": "4M", "subjects": 10, "items": 100, "boolq_items": 500, "free_items": 64}
    small = {"size": "0.3M", "subjects": 2, "items": 12, "boolq_items": 12, "free_items": 6}
    for name, value in (small if asked.smallest else usual).items():
        if getattr(asked, name) is None:
            setattr(asked, name, value)
    asked.repeats = 1 if asked.smallest else asked.repeats
    return asked


def quiet() -> None:
    """One thread, and no word but ours."""
    import datasets
    import torch

    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    datasets.disable_progress_bars()


def base_of(size: str, tasks: Sequence[Any]) -> "LoadedBase":
    """A random model of this size with a tokenizer of the tasks' text."""
    shape = SHAPES[size]
    words = trained_tokenizer(tasks, shape.vocabulary)
    made = model(shape, positions=POSITIONS)
    return as_base(made, words)


def as_base(made: Any, words: Any) -> "LoadedBase":  # noqa: ANN401 - any model and tokenizer
    """A base that has met no benchmark yet."""
    from sftlab.lm.base import LoadedBase
    from sftlab.lm.tokenizer import BaseTokenizer
    from sftlab.study.declaration import BaseRef, Precision

    tokenizer = BaseTokenizer(words, context_length=POSITIONS)
    return LoadedBase(BaseRef(name="random", model="random"), made, tokenizer, device="cpu", precision=Precision())


def _choice_sides(
    base: "LoadedBase",
    benchmarks: dict[str, list[str]],
    theirs: dict[str, Json],
    folder: Path,
    asked: argparse.Namespace,
) -> dict[str, Callable[[], Scores]]:
    """The harness; sftlab on the first checkpoint of a base, with nothing kept; and on the next."""
    kept: dict[str, Any] = {}

    def first() -> Scores:
        kept.update(base=as_base(base.model, base.tokenizer), known={})
        return by_sftlab(kept["base"], benchmarks, folder, known=kept["known"])

    def after() -> Scores:
        return by_sftlab(kept["base"], benchmarks, folder, known=kept["known"])

    return {
        "harness": lambda: by_harness(base, benchmarks, theirs, asked.harness_batch),
        "sftlab, first": first,
        "sftlab, next": after,
    }


def by_sftlab(
    base: "LoadedBase", benchmarks: dict[str, list[str]], folder: Path, *, known: dict[str, Any] | None = None
) -> Scores:
    """All tasks; those that are `known` are not read again, as by a worker that has met them."""
    import polars as pl

    from sftlab.benchmarks.loading import load_benchmark
    from sftlab.evaluate.scoring import ScoreOptions, score_benchmark
    from sftlab.study.declaration import BenchmarkRef

    known = {} if known is None else known
    frames, moments = [], [Instant.now()]
    for names in benchmarks.values():
        for name in names:
            if name not in known:
                ref = BenchmarkRef(name=name, file=f"{name}.yaml", scorers=("likelihood",))
                known[name] = load_benchmark(ref, folder=folder)
            scored = score_benchmark(base, known[name], options=ScoreOptions("plain", MAX_BATCH_TOKENS))
            frames.append(scored.rows["items"].filter(pl.col("metric") == "accuracy"))
        moments.append(Instant.now())
    whole = pl.concat(frames)
    return Scores(_spans(benchmarks, moments), whole["score"].to_numpy(), whole["log_likelihood"].to_numpy())


def _spans(benchmarks: Iterable[str], moments: Sequence[Instant]) -> dict[str, Span]:
    """What passed between the moments around each benchmark, and around all of them."""
    spans = {name: Span.between(*around) for name, around in zip(benchmarks, pairwise(moments), strict=True)}
    return spans | {BOTH: Span.between(moments[0], moments[-1])}


def by_harness(
    base: "LoadedBase", benchmarks: dict[str, list[str]], definitions: dict[str, Json], batch: int
) -> Scores:
    """All tasks by lm-evaluation-harness."""
    from lm_eval import evaluate
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.models.huggingface import HFLM

    samples: list[Json] = []
    moments = [Instant.now()]
    harness = HFLM(pretrained=base.model, tokenizer=base.tokenizer, batch_size=batch, max_length=POSITIONS)
    for names in benchmarks.values():
        tasks = {name: ConfigurableTask(config=definitions[name]) for name in names}
        for task in tasks.values():
            task.set_fewshot_seed(1234)
        with contextlib.redirect_stderr(io.StringIO()):
            out = evaluate(lm=harness, task_dict=tasks, log_samples=True, bootstrap_iters=0)
        moments.append(Instant.now())
        assert out is not None
        for name in names:
            samples.extend(sorted(out["samples"][name], key=lambda sample: sample["doc_id"]))
    gold = [float(sample["filtered_resps"][int(sample["target"])][0]) for sample in samples]
    return Scores(_spans(benchmarks, moments), np.array([sample["acc"] for sample in samples]), np.array(gold))


def largest_difference(found: dict[str, list[Scores]]) -> float:
    """The largest difference of a log-likelihood from the harness', in nats; ends where scores are not equal."""
    largest = 0.0
    for side, runs in found.items():
        for ours, theirs in zip(runs, found["harness"], strict=True):
            if not np.array_equal(ours.accuracy, theirs.accuracy):
                raise SystemExit(f"{side}: {int((ours.accuracy != theirs.accuracy).sum())} items are judged otherwise")
            largest = max(largest, float(np.abs(ours.log_likelihood - theirs.log_likelihood).max()))
    if largest > LOG_LIKELIHOOD_BOUND:
        raise SystemExit(f"log-likelihoods differ by up to {largest} nats, more than {LOG_LIKELIHOOD_BOUND}")
    return largest


Answers = tuple[Span, list[list[str]]]


def _answer_sides(
    base: "LoadedBase", tasks: Sequence[FreeTask], asked: argparse.Namespace
) -> dict[str, Callable[[], Answers]]:
    def timed(write: Callable[[], list[list[str]]]) -> Answers:
        start = Instant.now()
        texts = write()
        return Span.between(start, Instant.now()), texts

    return {
        "generate": lambda: timed(lambda: by_generate(base, tasks, batch=asked.generate_batch)),
        "queue": lambda: timed(lambda: by_queue(base, tasks, max_batch_tokens=MAX_BATCH_TOKENS)),
    }


def _require_equal_texts(found: dict[str, list[Answers]], tasks: Sequence[FreeTask]) -> None:
    for (_, theirs), (_, ours) in zip(found["generate"], found["queue"], strict=True):
        for task, one, other in zip(tasks, theirs, ours, strict=True):
            if one != other:
                count = sum(a != b for a, b in zip(one, other, strict=True))
                raise SystemExit(f"{task.name}: {count} of {len(one)} answers are not those of generate")


def table(spans: dict[str, dict[str, Span]], difference: float) -> str:
    """CPU seconds of every side, benchmark by benchmark, with ratios."""
    rows: list[list[object]] = []
    for name, sides in spans.items():
        peer, *ours = sides
        for side in ours:
            rows.append([name, side, peer, sides[peer].cpu, sides[side].cpu, sides[peer].cpu / sides[side].cpu])
    head = ["", "side", "against", "its CPU seconds", "sftlab's", "ratio"]
    return (
        f"{markdown_table(head, rows)}\n\nSame accuracies item by item, log-likelihoods to {difference:.1e} nats; "
        "same texts."
    )


if __name__ == "__main__":
    main()

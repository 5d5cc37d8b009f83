"""Benchmarks as a study names them: by shipped name, by task file, or as gold answers of a prompt/answer file."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sftlab.benchmarks.answers import task_reader
from sftlab.benchmarks.code import TaskCode
from sftlab.benchmarks.definition import OutputType, TaskDefinition, task_definition
from sftlab.benchmarks.gold import gold_answers
from sftlab.benchmarks.group import TaskGroup
from sftlab.benchmarks.harness import harness_source, harness_tasks, is_in_harness
from sftlab.benchmarks.item import Benchmark, Scorer
from sftlab.benchmarks.needed_files import Definition, NeededFile, needed_files
from sftlab.benchmarks.processing.programs import runs_programs
from sftlab.benchmarks.prompts import TaskWriter
from sftlab.benchmarks.rows import Layout
from sftlab.benchmarks.sandbox import why_no_sandbox
from sftlab.benchmarks.shipped import SHIPPED, chosen_subjects, shipped_benchmarks, shipped_source, task_path
from sftlab.benchmarks.sources import LocalSource, Source, task_source
from sftlab.benchmarks.task import Asked, Task
from sftlab.benchmarks.task_yaml import read_task_yaml
from sftlab.errors import BenchmarkError
from sftlab.study.declaration import BenchmarkRef
from sftlab.study.identity import digest

__all__ = [
    "Outline",
    "benchmark_digest",
    "benchmark_outline",
    "is_known_by_name",
    "load_benchmark",
    "missing_files",
    "reads_local_files",
    "shipped_benchmarks",
]

DEFINITION_VERSION = 2
MAX_NEW_TOKENS = 256
MAX_NEW_TOKENS_OF_A_CHOICE = 32
JUDGED = {"mt_bench": "rating", "alpaca_eval": "win_rate"}
SCORERS: dict[OutputType, tuple[Scorer, ...]] = {
    "generate_until": ("likelihood", "generative"),
    "multiple_choice": ("likelihood", "generative"),
    "loglikelihood": ("likelihood",),
}


def content_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_benchmark(
    ref: BenchmarkRef,
    *,
    folder: Path,
    benchmarks_dir: Path | None = None,
    items: int | None = None,
    file_digest: Callable[[Path], str] = content_digest,
) -> Benchmark:
    """A benchmark with all its items written out.

    Relative paths start at `folder`; `benchmarks_dir` holds local copies of shipped benchmarks, which come from the hub
    without it. `items` limits the number of items to the first so many of the data, dealt in turn over subjects where
    there are any; `ref.items`, where stated, wins over it. Raises BenchmarkError for whatever cannot be used.
    """
    with _naming(ref):
        definition = _definition(ref, folder, benchmarks_dir, items)
        return definition.benchmark(ref.name, _digest(definition, file_digest))


def benchmark_digest(
    ref: BenchmarkRef,
    *,
    folder: Path,
    benchmarks_dir: Path | None = None,
    items: int | None = None,
    file_digest: Callable[[Path], str] = content_digest,
) -> str:
    """Identity of a benchmark, equal to `Benchmark.digest`, without reading its items.

    It covers the merged definition, the code it names, the content of every data file that is read, and what is asked
    (shots, limit, subjects, stops, scorers, tokens); neither the benchmark's name nor any path. A dataset of the hub is
    named by id and stated revision. Raises BenchmarkError where a file is missing or the definition is wrong.
    """
    with _naming(ref):
        return _digest(_definition(ref, folder, benchmarks_dir, items), file_digest)


def reads_local_files(ref: BenchmarkRef, *, folder: Path, benchmarks_dir: Path | None = None) -> bool:
    """Whether all of a benchmark's rows lie in local files. Raises BenchmarkError where the definition is wrong."""
    with _naming(ref):
        definition = _definition(ref, folder, benchmarks_dir, None)
    tasks = definition.tasks.values() if isinstance(definition, TaskGroup) else (definition,)
    return all(
        isinstance(source, LocalSource) for task in tasks if isinstance(task, Task) for source in task.sources.values()
    )


def missing_files(ref: BenchmarkRef, *, folder: Path, benchmarks_dir: Path | None = None) -> tuple[NeededFile, ...]:
    """Local files that a benchmark reads and that do not exist. Raises BenchmarkError where its definition is wrong."""
    if ref.file is not None and not (folder / ref.file).is_file():
        return (NeededFile(folder / ref.file, "task file"),)
    with _naming(ref):
        definition = _definition(ref, folder, benchmarks_dir, None)
    return tuple(file for file in needed_files(definition) if not file.path.is_file())


def gives_shots(ref: BenchmarkRef, *, folder: Path, benchmarks_dir: Path | None = None) -> bool:
    """Whether there are examples apart from the items to draw shots from. Raises BenchmarkError where it is wrong."""
    if ref.data is not None or ref.shots_from is not None:
        return ref.data is None
    with _naming(ref):
        definition = _definition(ref, folder, benchmarks_dir, None)
    tasks = definition.tasks.values() if isinstance(definition, TaskGroup) else (definition,)
    return not any(isinstance(task, Task) and _draws_the_item(task.definition) for task in tasks)


def is_known_by_name(name: str) -> bool:
    """Whether a study may name a benchmark so without a file: it is shipped, or in an installed harness."""
    return name in SHIPPED or is_in_harness(name)


@dataclass(frozen=True)
class Outline:
    """How much work a benchmark is, as far as that is known without its items; `num_items` None where it is not.

    `judge` names how a judge is asked about the answers, where one is; `metric` is the one that its answer is given in.
    """

    num_items: int | None
    new_tokens: int
    scorers: tuple[Scorer, ...]
    judge: str | None = None
    metric: str = "exact_match"


def benchmark_outline(ref: BenchmarkRef, *, folder: Path, benchmarks_dir: Path | None = None) -> Outline:
    """The published number of items of a shipped benchmark, and how many tokens an answer may have at most (0: none).

    Raises BenchmarkError where the definition is wrong.
    """
    with _naming(ref):
        definition = _definition(ref, folder, benchmarks_dir, None)
    new_tokens = 0 if definition.scorers == ("likelihood",) else definition.max_new_tokens
    judge = definition.definition.judge if isinstance(definition, Task) else None
    metric = _expected_metric(definition)
    known = SHIPPED.get(ref.task or ref.name) if isinstance(definition, Task) and ref.file is None else None
    if known is None:
        return Outline(None, new_tokens, definition.scorers, judge, metric)
    share = len(ref.subjects) / len(known.subjects) if ref.subjects else 1.0
    return Outline(round(known.num_items * share), new_tokens, definition.scorers, judge, metric)


def _expected_metric(definition: Definition) -> str:
    """The metric of a benchmark's answers where it is scored as it is by default (see `main_metric`)."""
    task = next(iter(definition.tasks.values())) if isinstance(definition, TaskGroup) else definition
    if isinstance(task, Task) and task.definition.judge is not None:
        return JUDGED[task.definition.judge]
    if "likelihood" not in definition.scorers:
        return "exact_match"
    has_choices = isinstance(task, Task) and task.definition.output_type != "generate_until"
    return "accuracy" if has_choices else "bits_per_byte"


@contextmanager
def _naming(ref: BenchmarkRef) -> Iterator[None]:
    """Say of which benchmark an error is."""
    try:
        yield
    except BenchmarkError as error:
        raise BenchmarkError(f"benchmark {ref.name!r}: {error}") from error


def _digest(definition: Definition, file_digest: Callable[[Path], str]) -> str:
    _check_shot_files(definition)
    return digest(
        {
            "version": DEFINITION_VERSION,
            "scorers": definition.scorers,
            "content": definition.identity(file_digest),
        }
    )


def _definition(ref: BenchmarkRef, folder: Path, benchmarks_dir: Path | None, items: int | None) -> Definition:
    limit = items if ref.items is None else None if ref.items == "all" else ref.items
    local = None if benchmarks_dir is None else folder / benchmarks_dir
    name = ref.task or ref.name
    if ref.data is not None:
        return gold_answers(ref, path=folder / ref.data, limit=limit)
    if ref.file is None and name in SHIPPED:
        return _shipped(ref, name, local, limit)
    if ref.subjects is not None:
        raise BenchmarkError("`subjects` are for shipped benchmarks that have subjects")
    if ref.file is not None:
        yaml = read_task_yaml(folder / ref.file)
        definition, code = task_definition(yaml, trusted=ref.trust_code)
        return _task(ref, yaml.path, definition, code, {None: task_source(definition, yaml)}, limit)
    return _of_harness(ref, name, local, limit)


def _shipped(ref: BenchmarkRef, name: str, local: Path | None, limit: int | None) -> Task:
    path = task_path(name)
    definition, code = task_definition(read_task_yaml(path))
    sources: dict[str | None, Source] = {
        subject: shipped_source(name, definition, subject=subject, benchmarks_dir=local)
        for subject in chosen_subjects(name, ref.subjects)
    }
    if ref.reference is not None:
        sources = {None: _reference_outputs(definition, Path(ref.reference))}
    task = _task(ref, path, definition, code, sources, limit)
    return replace(task, stratum_column=SHIPPED[name].stratum_column)


def _reference_outputs(definition: TaskDefinition, path: Path) -> Source:
    if definition.judge != "alpaca_eval":
        raise BenchmarkError("`reference` is for alpaca_eval, which compares with the outputs in a file")
    return LocalSource({definition.eval_split: (path,)}, Layout("json"))


def _of_harness(ref: BenchmarkRef, name: str, local: Path | None, limit: int | None) -> Task | TaskGroup:
    """The code of an installed package is run as any of its code is; several tasks are one benchmark."""
    tasks: dict[str, Task] = {}
    for task, yaml in harness_tasks(name).items():
        definition, code = task_definition(yaml, trusted=True)
        source = harness_source(task, definition, yaml, local)
        tasks[task] = _task(ref, yaml.path, definition, code, {None: source}, limit)
    return TaskGroup(tasks, limit) if len(tasks) > 1 else next(iter(tasks.values()))


def _task(
    ref: BenchmarkRef,
    path: Path,
    definition: TaskDefinition,
    code: TaskCode,
    sources: Mapping[str | None, Source],
    limit: int | None,
) -> Task:
    shots = definition.num_fewshot if ref.shots is None else ref.shots
    try:
        _check(definition, 0 if ref.shots_from else shots, code)
    except BenchmarkError as error:
        raise BenchmarkError(f"{path}: {error}") from error
    asked = Asked(
        shots,
        _scorers(ref, definition),
        _max_new_tokens(ref, definition),
        limit,
        stops=None if ref.stops is None else tuple(stop for stop in ref.stops if stop),
        sets_apart=ref.shots_from == "items",
    )
    if "generative" in asked.scorers and runs_programs(definition.process_results) and (refusal := why_no_sandbox()):
        raise BenchmarkError(refusal)
    return Task(definition, sources, asked, code)


def _check(definition: TaskDefinition, shots: int, code: TaskCode) -> None:
    """Refuse now, before anything is trained, what could not be written or read later."""
    TaskWriter(definition, frozenset(), code)
    task_reader(definition)
    if shots and _draws_the_item(definition):
        raise BenchmarkError(
            f"shots would be drawn from the evaluated split {definition.eval_split!r}, the item itself among them: "
            "in the study, `shots: 0` (and `base_shots: 0` for the bases' own form) asks without any, and `shots_from: "
            "items` sets some apart; a task file of one's own may state `fewshot_split`"
        )


def _draws_the_item(definition: TaskDefinition) -> bool:
    """Whether an item could be among its own shots."""
    return definition.shot_split == definition.eval_split and not definition.leaves_out_the_item


def _check_shot_files(definition: Definition) -> None:
    for file in needed_files(definition):
        if file.purpose == "shots" and not file.path.is_file():
            raise BenchmarkError(
                f"shots come from the file {file.path}, which does not exist; `shots: 0` (`base_shots: 0` of "
                "the bases' own form) needs none, and "
                "`shots_from: items` takes them from the end of the evaluated items, which are then not asked"
            )


def _scorers(ref: BenchmarkRef, definition: TaskDefinition) -> tuple[Scorer, ...]:
    kind = definition.output_type
    legal: tuple[Scorer, ...] = SCORERS[kind] if definition.judge is None else ("judge",)
    if ref.scorers is None:
        return legal if kind == "generate_until" else ("likelihood",)
    for scorer in ref.scorers:
        if scorer not in legal:
            raise BenchmarkError(f"scorer {scorer!r} is not for {kind}; legal: {', '.join(legal)}")
    return tuple(scorer for scorer in legal if scorer in ref.scorers)


def _max_new_tokens(ref: BenchmarkRef, definition: TaskDefinition) -> int:
    default = MAX_NEW_TOKENS if definition.output_type == "generate_until" else MAX_NEW_TOKENS_OF_A_CHOICE
    return ref.max_new_tokens or definition.generation_kwargs.max_gen_toks or default

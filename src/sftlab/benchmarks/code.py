"""Python that a task file names behind `!function`: functions that come with sftlab, or files beside a trusted task.

Code is named when a definition is read and imported when it is first called, so that planning needs none of it.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from sftlab.benchmarks.processing import PROCESSING, RESULTS, source_digest
from sftlab.benchmarks.task_yaml import FunctionName
from sftlab.errors import BenchmarkError

MARK = "!function "
HARNESS_TASKS = ("lm_eval", "tasks")


@dataclass(frozen=True)
class TaskFunction:
    """One function of a Python file that lies beside a task file; the file is run when the function is first called."""

    path: Path
    name: str

    def __call__(self, *arguments: object) -> Any:  # noqa: ANN401 - a task's own function gives what it gives
        """Call it. Raises BenchmarkError where the file cannot be imported or the function fails."""
        try:
            return getattr(_module(self.path), self.name)(*arguments)
        except ImportError as error:
            raise BenchmarkError(f"the code of the task, {self.path.name}, needs what is not here: {error}") from error
        except Exception as error:
            said = str(error).strip().splitlines()
            reason = f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
            raise BenchmarkError(f"the task's own function {self.name} in {self.path} fails: {reason}") from error

    @property
    def digest(self) -> str:
        """SHA-256 of the file, and the version of lm-evaluation-harness where it is part of that."""
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
        return digest if _place_in_harness(self.path) is None else f"{digest} {version('lm_eval')}"


@dataclass(frozen=True)
class TaskCode:
    """The functions of one task by what stands for them in its definition, and the digests that identify them."""

    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)

    def function(self, text: object) -> Callable[..., Any] | None:
        """The function that a field's text stands for, or None for plain text."""
        return self.functions.get(text) if isinstance(text, str) else None

    def is_own(self, text: object) -> bool:
        """Whether a field's text stands for code of the task's own, with the arguments of lm-evaluation-harness."""
        return isinstance(self.function(text), TaskFunction)


def named_code(fields: Mapping[str, object], *, trusted: bool) -> tuple[dict[str, object], TaskCode]:
    """Fields with a text in place of every function, and the functions.

    Raises BenchmarkError for code of the task's own where it is not trusted, and for files that are not there.
    """
    for place in ("process_docs", "process_results"):
        if place in fields and not isinstance(fields[place], FunctionName):
            raise BenchmarkError(f"`{place}` is a `!function`, got {fields[place]!r}")
    functions: dict[str, Callable[..., Any]] = {}
    digests: dict[str, str] = {}

    def named(place: str, value: object) -> object:
        if isinstance(value, FunctionName):
            mark = MARK + value.name
            function = _shipped(place, value.name) or _own(place, value, trusted=trusted)
            assert functions.setdefault(mark, function) == function, "two files of one name among a task's includes"
            digests[mark] = function.digest if isinstance(function, TaskFunction) else source_digest(function)
            return mark
        if isinstance(value, dict):
            return {key: named(place, inner) for key, inner in value.items()}
        return [named(place, inner) for inner in value] if isinstance(value, list) else value

    return {place: named(place, value) for place, value in fields.items()}, TaskCode(functions, digests)


def _shipped(place: str, name: str) -> Callable[..., Any] | None:
    if place == "process_docs":
        return PROCESSING.get(name)
    return RESULTS.get(name) if place == "process_results" else None


def _own(place: str, function: FunctionName, *, trusted: bool) -> TaskFunction:
    if not trusted:
        raise BenchmarkError(
            f"`{place}: !function {function.name}` is refused: a task file runs code of its own only where the study "
            f"says `trust_code: true` of this benchmark; without it: process_docs with {', '.join(PROCESSING)} and "
            f"process_results with {', '.join(RESULTS)}"
        )
    module, _, name = function.name.rpartition(".")
    path = (function.folder / f"{module.replace('.', '/')}.py").resolve()
    if not module or not path.is_file():
        raise BenchmarkError(f"`{place}: !function {function.name}`: there is no file {path}")
    return TaskFunction(path, name)


def _module(path: Path) -> ModuleType:
    """The file as a module, run once; below lm_eval's tasks under the name that its own imports know it by."""
    inside = _place_in_harness(path)
    name = f"sftlab_task_code.{hashlib.sha256(str(path).encode()).hexdigest()}"
    if inside is not None:
        name = ".".join(path.with_suffix("").parts[inside:])
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} is no Python file")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]


def _place_in_harness(path: Path) -> int | None:
    parts = path.parts
    return next((place for place in range(len(parts)) if parts[place : place + 2] == HARNESS_TASKS), None)

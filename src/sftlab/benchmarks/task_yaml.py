"""Task files of lm-evaluation-harness as plain data: includes are merged, code is named but not run."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from sftlab.errors import BenchmarkError

MAX_NODES = 100_000


@dataclass(frozen=True)
class FunctionName:
    """What stands behind `!function`: the name of code that a task file asks for, and where that file lies."""

    name: str
    folder: Path


@dataclass(frozen=True)
class TaskYaml:
    """A task file with its includes merged; `data_folder` is where the file that states `dataset_kwargs` lies."""

    path: Path
    fields: dict[str, object]
    data_folder: Path


class _Loader(yaml.SafeLoader):
    """Plain values and `!function` names, of a file in `folder`."""

    folder: Path


def _function_name(loader: _Loader, node: yaml.ScalarNode) -> FunctionName:
    return FunctionName(str(loader.construct_scalar(node)), loader.folder)


_Loader.add_constructor("!function", _function_name)


def read_task_yaml(path: Path) -> TaskYaml:
    """Read a task file and what it includes; its own fields win over included ones.

    Raises BenchmarkError for a file that is missing, is not YAML, is no mapping, or includes itself.
    """
    return _read(path, ())


def _read(path: Path, including: tuple[Path, ...]) -> TaskYaml:
    if path.resolve() in including:
        raise BenchmarkError(f"the task file {path} includes itself")
    own = _mapping(path)
    included = own.pop("include", None)
    names = included if isinstance(included, list) else [] if included is None else [included]
    fields: dict[str, object] = {}
    data_folder = path.parent
    for name in names:
        if not isinstance(name, str):
            raise BenchmarkError(f"{path}: `include` names one or more files, got {name!r}")
        inner = _read(path.parent / name, (*including, path.resolve()))
        if "dataset_kwargs" in inner.fields:
            data_folder = inner.data_folder
        fields.update(inner.fields)
    if "dataset_kwargs" in own:
        data_folder = path.parent
    return TaskYaml(path, {**fields, **own}, data_folder)


def _mapping(path: Path) -> dict[str, object]:
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        loader.folder = path.parent
        value = loader.get_single_data()
        num_nodes = _num_nodes(value, MAX_NODES)
    except OSError as error:
        raise BenchmarkError(f"the task file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BenchmarkError(f"the task file {path} is not UTF-8 text") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise BenchmarkError(f"{path}, line {line}: not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BenchmarkError(f"{path} is not YAML: {(str(error) or 'nested too deeply').splitlines()[0]}") from error
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise BenchmarkError(f"{path} is no task file: a task file has named fields (task, dataset_path, ...)")
    if num_nodes > MAX_NODES:
        raise BenchmarkError(f"{path} is too large for a task file once its aliases are written out")
    return value


def _num_nodes(value: object, limit: int) -> int:
    """Values inside a value with aliases written out; stops counting above the limit."""
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    total = 1
    for part in inner:
        total += _num_nodes(part, limit - total)
        if total > limit:
            break
    return total

"""Where the rows of a task come from: local files, or a dataset of the hub."""

import logging
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sftlab.benchmarks.definition import TaskDefinition
from sftlab.benchmarks.rows import Layout, Row, read_rows
from sftlab.benchmarks.task_yaml import TaskYaml
from sftlab.errors import BenchmarkError
from sftlab.study.spelling import nearest

FileDigest = Callable[[Path], str]
HUB_SECONDS = 5.0
LOCAL_FORMATS = ("json", "csv", "parquet")


class Source(Protocol):
    """The splits of one task."""

    def rows(self, split: str) -> list[Row]:
        """All rows of a split, as they were published."""
        ...

    def identity(self, split: str, file_digest: FileDigest) -> object:
        """What decides the content of a split, without reading it."""
        ...


@dataclass(frozen=True)
class LocalSource:
    """Local files for each split; `constants` are columns that every row gets."""

    files: Mapping[str, tuple[Path, ...]]
    layout: Layout
    constants: Row = field(default_factory=dict)

    def rows(self, split: str) -> list[Row]:
        """All rows of the split's files, one file after the other."""
        rows = [row for path in self._paths(split) for row in read_rows(path, self.layout)]
        return [{**row, **self.constants} for row in rows] if self.constants else rows

    def identity(self, split: str, file_digest: FileDigest) -> object:
        """Digests of the split's files and how they are read; no paths."""
        layout = self.layout
        reading = [layout.format, layout.columns, layout.delimiter, layout.field, layout.typed]
        return {"files": [_digest(path, file_digest) for path in self._paths(split)], "reading": reading}

    def _paths(self, split: str) -> tuple[Path, ...]:
        if split not in self.files:
            raise BenchmarkError(f"there is no data for the split {split!r}{nearest(split, self.files)}")
        return self.files[split]


@dataclass(frozen=True)
class HubSource:
    """A dataset of the hub, read through `datasets`."""

    path: str
    name: str | None
    revision: str | None
    advice: str = "name a local copy with `data_files`"

    def rows(self, split: str) -> list[Row]:
        """All rows of a split, from the local cache where the hub does not answer.

        Raises BenchmarkError where they are in neither.
        """
        from datasets import load_dataset

        where = self.path if self.name is None else f"{self.path} ({self.name})"
        answers = True
        try:
            with quiet_hub() as answers:
                return [dict(row) for row in load_dataset(self.path, self.name, split=split, revision=self.revision)]
        except (OSError, ValueError, RuntimeError, NotImplementedError) as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            reason = said if answers else "it does not answer: is there a network?"
            raise BenchmarkError(
                f"split {split!r} of {where} cannot be had from the hub ({reason}): {self.advice}"
            ) from error

    def identity(self, split: str, file_digest: FileDigest) -> object:  # noqa: ARG002 - a hub split has no files yet
        """The hub id, configuration and revision of a split."""
        return {"hub": self.path, "name": self.name, "revision": self.revision or "main", "split": split}


@contextmanager
def quiet_hub() -> Iterator[bool]:
    """Within it the hub's client says nothing, and a hub that does not answer in seconds is not asked again and again.

    What is in the local cache is found then all the same. Gives whether it answers, where it was to be asked at all.
    """
    import datasets.config
    from huggingface_hub import constants

    logger = logging.getLogger("huggingface_hub")
    level, known = logger.level, (constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE)
    logger.setLevel(logging.ERROR)
    try:
        answers = constants.HF_HUB_OFFLINE or hub_answers(constants.ENDPOINT)
        if not answers:
            constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
        yield answers
    finally:
        logger.setLevel(level)
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = known


def hub_answers(address: str) -> bool:
    """Whether there is a server in seconds, whatever it says; certificates are the business of the reading client."""
    request = urllib.request.Request(address, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=HUB_SECONDS).close()
    except urllib.error.HTTPError:
        return True
    except OSError as error:
        return isinstance(getattr(error, "reason", error), ssl.SSLError)
    return True


def task_source(definition: TaskDefinition, yaml: TaskYaml) -> Source:
    """Where a task file says its rows are. Raises BenchmarkError for paths that are not local or of no known kind."""
    kwargs = definition.dataset_kwargs
    if definition.dataset_path not in LOCAL_FORMATS:
        for name in ("data_files", "field", "delimiter", "column_names"):
            if getattr(kwargs, "data_field" if name == "field" else name) is not None:
                raise BenchmarkError(f"`dataset_kwargs.{name}` goes with dataset_path {', '.join(LOCAL_FORMATS)}")
        return HubSource(definition.dataset_path, definition.dataset_name, kwargs.revision)
    if kwargs.data_files is None:
        raise BenchmarkError(f"dataset_path {definition.dataset_path} needs dataset_kwargs: {{data_files: ...}}")
    by_split = kwargs.data_files if isinstance(kwargs.data_files, dict) else {"train": kwargs.data_files}
    files = {split: _local_paths(names, yaml.data_folder) for split, names in by_split.items()}
    layout = Layout(
        "csv" if definition.dataset_path == "csv" else "parquet" if definition.dataset_path == "parquet" else "json",
        columns=None if kwargs.column_names is None else tuple(kwargs.column_names),
        delimiter=kwargs.delimiter,
        field=kwargs.data_field,
        typed=True,
    )
    return LocalSource(files, layout)


def _local_paths(names: str | list[str], folder: Path) -> tuple[Path, ...]:
    paths: list[Path] = []
    for name in [names] if isinstance(names, str) else names:
        if "://" in name:
            raise BenchmarkError(f"data_files are local files, got {name!r}")
        found = (
            sorted(folder.glob(name)) if any(mark in name for mark in "*?[") and name[:1] != "/" else [folder / name]
        )
        if not found:
            raise BenchmarkError(f"no file in {folder} is called {name!r}")
        paths.extend(found)
    return tuple(paths)


def processed(rows: list[Row], function: Callable[..., Any], *, split: str) -> list[Row]:
    """Rows brought to the columns that a task's templates name, one by one, by a function that comes with sftlab."""
    made: list[Row] = []
    for index, row in enumerate(rows):
        try:
            made.append(function(row))
        except KeyError as error:
            raise BenchmarkError(f"row {index} of {split!r}: no column {error} (columns: {', '.join(row)})") from error
        except (BenchmarkError, TypeError, ValueError, AttributeError) as error:
            raise BenchmarkError(f"row {index} of {split!r}: {error}") from error
    return made


def processed_together(rows: list[Row], function: Callable[..., Any]) -> list[Row]:
    """Rows processed by a function of the task's own, which takes and gives a `datasets.Dataset`."""
    from datasets import Dataset, disable_progress_bars, enable_progress_bars

    disable_progress_bars()
    try:
        made = function(Dataset.from_list(rows))
        return [dict(row) for row in made]
    finally:
        enable_progress_bars()


def _digest(path: Path, file_digest: FileDigest) -> str:
    if not path.is_file():
        raise BenchmarkError(f"the benchmark file {path} does not exist")
    return file_digest(path)

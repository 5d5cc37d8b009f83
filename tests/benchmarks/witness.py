"""The same task on the same local data, for sftlab and for lm-evaluation-harness itself."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from sftlab.benchmarks.item import Benchmark
from sftlab.benchmarks.loading import load_benchmark
from sftlab.study.declaration import BenchmarkRef

Row = dict[str, Any]


def write_jsonl(path: Path, rows: Sequence[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def requests_of(task: Any, *, limit: int | None = None) -> list[tuple[Any, ...]]:
    """Arguments of every request that lm-evaluation-harness would send to a model."""
    task.build_all_requests(limit=limit)
    return [instance.arguments for instance in task.instances]


def load_task(folder: Path, definition: Row, data: dict[str, Path], **asked: Any) -> Benchmark:
    """The same definition through sftlab, from a task file in `folder`."""
    names = {split: path.name for split, path in data.items()}
    fields = {"dataset_path": "json", "dataset_kwargs": {"data_files": names}, **definition}
    (folder / "task.yaml").write_text(yaml.safe_dump(fields, sort_keys=False), encoding="utf-8")
    return load_benchmark(BenchmarkRef(name="own", file="task.yaml", **asked), folder=folder)

"""lm-evaluation-harness itself as the witness, on local data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def lm_eval_task(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """lm-evaluation-harness' own task for the same definition, seeded as its evaluator seeds it."""
    import datasets
    from lm_eval.api.task import ConfigurableTask

    datasets.disable_progress_bars()
    cache = str(tmp_path_factory.mktemp("datasets"))

    def build(definition: dict[str, Any], data: dict[str, Path], *, shots: int) -> Any:
        files = {split: str(path) for split, path in data.items()}
        config = {
            **{key: value for key, value in definition.items() if key not in {"dataset_name", "include", "tag"}},
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": files, "cache_dir": cache},
            "num_fewshot": shots,
        }
        task = ConfigurableTask(config=config)
        task.set_fewshot_seed(1234)
        return task

    return build

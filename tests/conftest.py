"""What all tests share."""

import gc
import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real datasets, benchmarks and pretrained models, where there is one."""
    folder = Path(os.environ.get("SFTLAB_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("needs real data: set SFTLAB_SHARED to a folder with data/ and weights/")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory) -> None:
    """What is measured of this machine in tests is not kept for its user."""
    os.environ["SFTLAB_CACHE"] = str(tmp_path_factory.mktemp("cache"))


def pytest_collection_finish() -> None:
    """Modules stay as long as the tests run: collecting garbage, as some tests often do, need not look there."""
    gc.collect()
    gc.freeze()

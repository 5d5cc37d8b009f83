"""Models are written once for all tests of training."""

from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def bases(tmp_path_factory) -> Path:
    """The folder that `lm.models.load` writes tiny models to."""
    return tmp_path_factory.mktemp("bases")

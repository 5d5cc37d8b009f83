"""The package bitsandbytes, loaded without what it tells about kernels that it would rather have."""

import logging
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from sftlab.errors import StudyError

PACKAGE = "bitsandbytes"


@cache
def load_bitsandbytes() -> Any:  # noqa: ANN401 - a package without types
    """The package. Raises StudyError where it is not installed."""
    if find_spec(PACKAGE) is None:
        raise StudyError(f"this needs the package {PACKAGE}, which is not installed: `pip install {PACKAGE}`")
    # It looks for faster kernels of another package for this processor, and warns where that is not there.
    log = logging.getLogger(f"{PACKAGE}.backends.cpu.ops")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        return import_module(PACKAGE)
    finally:
        log.setLevel(before)

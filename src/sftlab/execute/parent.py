"""A process that goes when the one that started it goes, however that ends."""

import multiprocessing
import os
import shutil
from multiprocessing.connection import wait
from pathlib import Path


def leave_with_parent(folder: Path | None = None) -> None:
    """Wait, in a thread, for the parent process to end, and end this one; a folder that both used goes, too."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)

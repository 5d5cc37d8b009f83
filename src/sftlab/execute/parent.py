"""A process that goes when the one that started it goes, however that ends."""

import multiprocessing
import os
from multiprocessing.connection import wait


def leave_with_parent() -> None:
    """Wait, in a thread, for the parent process to end, and end this one."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)

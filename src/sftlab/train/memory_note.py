"""How a run that several processes share goes on after one of them ran out of memory.

The others wait inside the pass that failed, so that none can go on from there: all are started again from the last
state, and find here what to do differently.
"""

import json
import os
from pathlib import Path

from sftlab.train.state import Log

NOTE = "memory.json"
_FIELDS = ("micro_tokens", "checkpointing", "events", "unfit")


class OutOfStepError(Exception):
    """Memory ran out on this rank: the ranks start again and do as the note says."""


def write_memory_note(working: Path, key: str, log: Log) -> None:
    """Keep how the run is carried out from now on; every rank would write the same."""
    working.mkdir(parents=True, exist_ok=True)
    temporary = working / f".{NOTE}.{os.getpid()}.tmp"
    temporary.write_text(json.dumps({"key": key, **{field: getattr(log, field) for field in _FIELDS}}))
    temporary.replace(working / NOTE)


def take_memory_note(working: Path, key: str, log: Log) -> None:
    """Let a log say what the run's note says, if there is one: it is never older than a state."""
    try:
        note = json.loads((working / NOTE).read_text())
    except FileNotFoundError:
        return
    if note["key"] == key:
        for field in _FIELDS:
            setattr(log, field, note[field])

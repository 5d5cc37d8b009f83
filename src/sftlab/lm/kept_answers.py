"""Answers of a score that is not finished, kept so that an interrupted one goes on where it was."""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sftlab.lm.request_tree import Ids

KEEP_SECONDS = 5.0
"""Time between two segments; what was answered after the last one is asked again."""


@dataclass(eq=False)
class KeptAnswers:
    """Segments of answers in a folder; made when the first is written, and removed by whoever owns it.

    Which requests are asked together is decided by the work alone, so that what is kept and what is asked anew are the
    numbers of an undisturbed run.
    """

    folder: Path
    _pending: dict[str, dict[int, Any]] = field(default_factory=dict)
    _written_at: float = field(default_factory=time.monotonic)

    def read(self, work: str) -> dict[int, Any]:
        """All that was kept of this work, by place of the request; what cannot be read is asked again."""
        found: dict[int, Any] = {}
        for path in sorted(self.folder.glob(f"{work}-*.json")):
            try:
                found |= {int(place): value for place, value in json.loads(path.read_text()).items()}
            except (OSError, ValueError, AttributeError):
                continue
        return found

    def add(self, work: str, answers: Mapping[int, object]) -> None:
        """Keep the answers of one batch, together with others that come within a few seconds."""
        self._pending.setdefault(work, {}).update(answers)
        if time.monotonic() - self._written_at >= KEEP_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was added and is not written yet."""
        for name, values in self._pending.items():
            self._write(name, values)
        self._pending.clear()
        self._written_at = time.monotonic()

    def _write(self, work: str, answers: Mapping[int, object]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{work}-{min(answers):09d}-{len(answers)}.json"
        temporary = path.with_suffix(".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(answers, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def work_digest(kind: str, sequences: Iterable[Ids], *settings: object) -> str:
    """A name for one piece of work: what is asked, in this order, and how it is divided."""
    content = hashlib.sha256(repr((kind, settings)).encode())
    for ids in sequences:
        content.update(len(ids).to_bytes(4, "little"))
        content.update(ids.astype("<i4", copy=False).tobytes())
    return f"{kind}-{content.hexdigest()[:24]}"

"""Verdicts on disk: a program that siblings write alike is run once, whichever worker comes first.

A verdict counts for as long as what decides it is the same: it is kept under the program, its tests and the sandbox's
identity. One that a clock gave is not kept, for another machine or another hour may give another.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(eq=False)
class KeptVerdicts:
    """Verdicts by key in a file that several processes append to, one line each, or nothing without a file.

    What is torn is no line.
    """

    path: Path | None = None
    _known: dict[str, Any] = field(default_factory=dict)
    _read: int = 0

    def use(self, path: Path) -> None:
        """Go over to this file."""
        self.path = path
        self._known.clear()
        self._read = 0

    def get(self, key: str) -> Any:  # noqa: ANN401 - what was kept
        """What was kept under a key, by whatever process; None where nothing was."""
        if self.path is not None and key not in self._known:
            self._read_on()
        return self._known.get(key)

    def add(self, key: str, value: object) -> None:
        """Keep a value for all processes."""
        if self.path is None:
            return
        self._known[key] = value
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = f"\n{json.dumps([key, value])}\n".encode()
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, line)
        finally:
            os.close(file)

    def _read_on(self) -> None:
        assert self.path is not None
        try:
            with self.path.open("rb") as file:
                file.seek(self._read)
                new = file.read()
        except OSError:
            return
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            try:
                key, value = json.loads(line)
            except (ValueError, TypeError):
                continue
            self._known[key] = value


def key_of(program: Any, identity: object) -> str:  # noqa: ANN401 - a frozen dataclass of texts
    """A name for a program, what it is tried with, and where."""
    content: Mapping[str, object] = {"program": asdict(program), "sandbox": identity}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

"""Whether two answers are the same mathematics, decided by math-verify in a process of its own.

What a model writes is hostile by accident: towers of powers, endless nesting, formulas that no solver simplifies.
math-verify guards itself with signals, which work in main threads only and stop no long computation in C; so answers
are compared in a child that may use a bounded time and memory and is replaced when it dies.
"""

import atexit
import functools
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterable
from importlib.metadata import version
from typing import IO

from sftlab.errors import BenchmarkError

COMPARISON_VERSION = 2
CHILD = ("-m", "sftlab.benchmarks.mathematics_child")
MAX_CHARACTERS = 2_000
SIMPLE_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
SPACING = re.compile(r"\\left(?![a-zA-Z])|\\right(?![a-zA-Z])|\\[!,;:]|\s+|\$")
TEXT_COMMAND = re.compile(r"\\(?:text|textbf|mbox|mathrm)\s*\{([^{}]*)\}")


def equal_answers(answer: str, gold: str) -> bool:
    r"""Whether an answer is the same mathematics as the gold one: equal value, set, interval, tuple, matrix or text.

    0.5, \frac12 and 50\% are equal; units, degree signs and `x =` before a value do not count; the order of a set
    does not count, that of a tuple does. Never raises for what stands in the answers: what cannot be read as
    mathematics within three seconds of computing is equal only to the same text.
    """
    if _plain(answer) == _plain(gold):
        return bool(_plain(gold))
    if not answer.strip() or not gold.strip() or max(len(answer), len(gold)) > MAX_CHARACTERS:
        return False
    return _compared(answer.strip(), gold.strip())


def comparison_version() -> list[object]:
    """What decides which answers are equal, as part of a score's identity."""
    return [COMPARISON_VERSION, version("math-verify")]


def equal_to_any(answer: str, golds: Iterable[str]) -> bool:
    """Whether an answer is the same mathematics as one of several gold ones."""
    return any(equal_answers(answer, gold) for gold in golds)


def _plain(text: str) -> str:
    return SPACING.sub("", TEXT_COMMAND.sub(r"\1", text)).rstrip(".")


@functools.lru_cache(maxsize=65_536)
def _compared(answer: str, gold: str) -> bool:
    if SIMPLE_NUMBER.fullmatch(answer) and SIMPLE_NUMBER.fullmatch(gold) and len(answer) + len(gold) < 100:
        return abs(float(answer) - float(gold)) < 1e-9 * max(1.0, abs(float(gold)))
    return _CHILD.compare(answer, gold)


class _Child:
    """The process that compares, started when first needed and again after it died; one question at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0

    def compare(self, answer: str, gold: str) -> bool:
        """The child's verdict; False where the comparison kills it."""
        with self._lock:
            questions, verdicts = self._pipes()
            try:
                questions.write(json.dumps([answer, gold]) + "\n")
                questions.flush()
                verdict = verdicts.readline()
            except OSError:
                verdict = ""
            if not verdict:
                self._end()
            return verdict.strip() == "equal"

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self._start()
        assert self._process is not None
        questions, verdicts = self._process.stdin, self._process.stdout
        assert questions is not None
        assert verdicts is not None
        return questions, verdicts

    def _start(self) -> None:
        self._process, self._owner = (
            subprocess.Popen(
                [sys.executable, *CHILD],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            ),
            os.getpid(),
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "ready":
            _, said = self._process.communicate()
            self._process = None
            last = said.strip().splitlines()[-1] if said.strip() else "it says nothing"
            raise BenchmarkError(f"answers cannot be compared as mathematics: math-verify does not start ({last})")

    def _end(self) -> None:
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
            self._process.communicate()
        self._process = None

    def close(self) -> None:
        """End the child with the interpreter."""
        with self._lock:
            self._end()


_CHILD = _Child()
atexit.register(_CHILD.close)

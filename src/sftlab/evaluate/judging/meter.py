"""How much a study has asked of a judge: shared by all its workers, so that limits hold for them together."""

import fcntl
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sftlab.benchmarks.judging.protocol import JudgeQuestion
from sftlab.errors import JudgeError
from sftlab.store.disk import unwritable
from sftlab.study.judge import Judge

WINDOW_SECONDS = 60.0
LONGEST_NAP_SECONDS = 1.0


@dataclass(frozen=True)
class Spent:
    """Requests sent by a study so far, and what they cost; US dollars are None where prices are not given."""

    calls: int
    usd: float | None


@dataclass(frozen=True)
class Clock:
    """What windows are measured with, in seconds; `now` is of one origin for all processes that share a meter."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    window_seconds: float = WINDOW_SECONDS


SYSTEM_CLOCK = Clock()


class BudgetSpentError(JudgeError):
    """The study's limit on calls or money is reached."""


class Meter:
    """Counts requests before they are sent, in a small file under a lock; one file for a study.

    A request is counted in full when it is sent, at the most that it may cost, and corrected when its answer says how
    many tokens it took: a limit is never passed, not by workers that ask at the same time nor by one that is killed.
    """

    def __init__(self, path: Path, judge: Judge, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._path = path
        self._judge = judge
        self._clock = clock

    @property
    def spent(self) -> Spent:
        """What was counted so far."""
        state = self._changed(lambda _: None)
        return Spent(state.calls, state.usd if self._judge.usd(0, 0) is not None else None)

    def reserve(self, question: JudgeQuestion, *, give_up: Callable[[], bool]) -> bool:
        """Count one request, waiting for its turn under the limits per minute; False where told to give up before.

        Raises BudgetSpentError where the request would pass a limit on calls or money.
        """
        tokens, usd = question.input_tokens + question.max_tokens, self._most_usd(question)
        while not give_up():
            waits: list[float] = []

            def count(state: "_State", waits: list[float] = waits) -> None:
                self._check_budget(state, usd)
                wait = self._wait(state, tokens)
                if wait > 0.0:
                    waits.append(wait)
                    return
                state.calls += 1
                state.usd += usd
                if self._judge.requests_per_minute or self._judge.tokens_per_minute:
                    state.recent.append((self._clock.now(), tokens))

            self._changed(count)
            if not waits:
                return True
            self._clock.sleep(min(waits[0], LONGEST_NAP_SECONDS))
        return False

    def settle(self, question: JudgeQuestion, used: tuple[int, int]) -> None:
        """Correct what a request cost, from the most that it could to the tokens (in, out) that it took."""
        difference = (self._judge.usd(*used) or 0.0) - self._most_usd(question)
        if difference:

            def correct(state: "_State") -> None:
                state.usd += difference

            self._changed(correct)

    def _most_usd(self, question: JudgeQuestion) -> float:
        return self._judge.usd(question.most_input_tokens, question.max_tokens) or 0.0

    def _check_budget(self, state: "_State", usd: float) -> None:
        judge = self._judge
        if judge.budget_calls is not None and state.calls >= judge.budget_calls:
            raise BudgetSpentError(f"all {judge.budget_calls} calls of `evaluation.judge.budget_calls` are made")
        if judge.budget_usd is not None and state.usd + usd > judge.budget_usd:
            raise BudgetSpentError(
                f"{state.usd:.4f} US dollars are spent, and one more call could pass `evaluation.judge.budget_usd` "
                f"({judge.budget_usd:g})"
            )

    def _wait(self, state: "_State", tokens: int) -> float:
        """Seconds until a request of so many tokens has its turn; one that is over the limit alone waits for none."""
        now, window = self._clock.now(), self._clock.window_seconds
        state.recent = [one for one in state.recent if now - one[0] < window]
        judge, waits = self._judge, [0.0]
        if judge.requests_per_minute is not None and len(state.recent) >= judge.requests_per_minute:
            waits.append(state.recent[-judge.requests_per_minute][0] + window - now)
        if judge.tokens_per_minute is not None:
            held = sum(size for _, size in state.recent)
            for at, size in state.recent:
                if held + tokens <= judge.tokens_per_minute:
                    break
                waits.append(at + window - now)
                held -= size
        return max(waits)

    def _changed(self, change: Callable[["_State"], None]) -> "_State":
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                state = _State.read(file.readline())
                before = state.written()
                change(state)
                if state.written() != before:
                    file.seek(0)
                    file.write(state.written())
                    file.flush()
                    os.fsync(file.fileno())
                    file.truncate()
                return state
        except OSError as error:
            raise unwritable(error, self._path) from error


@dataclass
class _State:
    calls: int
    usd: float
    recent: list[tuple[float, int]]

    @staticmethod
    def read(text: str) -> "_State":
        if not text:
            return _State(0, 0.0, [])
        value = json.loads(text)
        return _State(value["calls"], value["usd"], [(at, tokens) for at, tokens in value["recent"]])

    def written(self) -> str:
        return json.dumps({"calls": self.calls, "usd": self.usd, "recent": self.recent}) + "\n"

"""Many questions to a judge at a time, each asked once ever: answers are kept as they arrive and read from then on."""

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, cast

from sftlab.benchmarks.judging.protocol import JudgeAnswer, JudgeQuestion
from sftlab.errors import JudgeError, SftlabError
from sftlab.evaluate.judging.client import (
    FIRST_PAUSE_SECONDS,
    LASTING,
    WORDS,
    Answered,
    ChatClient,
    FailureKind,
    Unanswered,
)
from sftlab.evaluate.judging.meter import Meter
from sftlab.store import Ledger
from sftlab.study.judge import Judge

SITTINGS = 3
"""Sittings in which a question went without an answer before it is left out for good."""
FAILURES_AT_FIRST = 8
"""Questions without an answer, before there is any answer, after which nothing more is asked in this sitting."""


@dataclass(frozen=True)
class Desk:
    """Where a study's judge is asked: the judge, the folder that keeps its answers, and whose spending is counted."""

    judge: Judge
    folder: Path
    study: str
    first_pause_seconds: float = FIRST_PAUSE_SECONDS


@dataclass(frozen=True)
class Answers:
    """By key, an answer or why there is none; `asked` of them in this call, the others were known."""

    outcomes: Mapping[str, Answered | Unanswered]
    asked: int


class JudgeSession:
    """Asks the judge of a desk; what it has said to anybody with the same desk is not asked again."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ledger = Ledger(desk.folder)
        self._meter = Meter(desk.folder / f"spent-{desk.study}.json", desk.judge)
        self._sitting = f"{os.getpid()}-{time.time():.3f}"
        self._lock = Lock()
        self._failures = 0
        self._has_answered = False
        self._trouble: SftlabError | None = None

    def answers(self, questions: Sequence[JudgeQuestion], on_progress: Callable[[float], None]) -> Answers:
        """The judge's answers to all questions, equal ones asked once.

        Raises JudgeError where questions stay open: at a spend limit, where the judge cannot be asked, or where some
        had no answer after all retries. What was answered is kept, and the next call asks only the rest; a question
        that had no answer in three sittings is left out instead.
        """
        distinct = {question.key: question for question in questions}
        known = {key: found for key in distinct if (found := self._known(key)) is not None}
        to_ask = [question for key, question in distinct.items() if key not in known]
        asked = self._asked(to_ask, on_progress) if to_ask else {}
        on_progress(1.0)
        self._check_complete(asked)
        return Answers({**known, **asked}, len(asked))

    def _asked(
        self, questions: Sequence[JudgeQuestion], on_progress: Callable[[float], None]
    ) -> dict[str, Answered | Unanswered]:
        client = ChatClient(self._desk.judge, self._meter, first_pause_seconds=self._desk.first_pause_seconds)
        found: dict[str, Answered | Unanswered] = {}
        pool = ThreadPoolExecutor(self._desk.judge.concurrency, thread_name_prefix="judge")
        try:
            waiting = {pool.submit(self._one, client, question): question.key for question in questions}
            for future in as_completed(waiting):
                found[waiting[future]] = future.result()
                on_progress(len(found) / len(questions))
        finally:
            client.stop()
            pool.shutdown(cancel_futures=True)
            client.close()
        return found

    def _one(self, client: ChatClient, question: JudgeQuestion) -> Answered | Unanswered:
        """Ask under a claim on the question, so that another worker who has it too waits for this answer."""
        if self._trouble is not None:
            return Unanswered("not_asked")
        try:
            with self._ledger.claimed(question.key):
                known = self._known(question.key)
                if known is not None:
                    return known
                outcome = client.ask(question)
                if outcome != Unanswered("not_asked"):
                    self._ledger.append(question.key, self._entry(outcome))
        except SftlabError as error:
            self._give_up(client, error)
            return Unanswered("not_asked")
        self._watch(client, outcome)
        return outcome

    def _watch(self, client: ChatClient, outcome: Answered | Unanswered) -> None:
        """Give up on a judge that does not answer at all."""
        with self._lock:
            self._has_answered |= isinstance(outcome, Answered) or outcome.kind in LASTING
            self._failures += 1
            hopeless = not self._has_answered and self._failures >= FAILURES_AT_FIRST
        if hopeless and isinstance(outcome, Unanswered):
            said = f"{WORDS[outcome.kind]}: {outcome.detail}"
            first = f"the first {FAILURES_AT_FIRST} questions to the judge had no answer, the last one"
            self._give_up(client, JudgeError(f"{first} {said}"))

    def _give_up(self, client: ChatClient, error: SftlabError) -> None:
        with self._lock:
            self._trouble = self._trouble or error
        client.stop()

    def _entry(self, outcome: Answered | Unanswered) -> dict[str, object]:
        common: dict[str, object] = {"model": self._desk.judge.model, "at": time.time()}
        if isinstance(outcome, Unanswered):
            return {**common, "failure": outcome.kind, "detail": outcome.detail, "sitting": self._sitting}
        answer, tokens = outcome.answer, [outcome.input_tokens, outcome.output_tokens]
        first = None if answer.first_token is None else dict(answer.first_token)
        return {**common, "text": answer.text, "ended": answer.ended, "first_token": first, "tokens": tokens}

    def _known(self, key: str) -> Answered | Unanswered | None:
        """What the ledger says of a question; None where it is still to be asked."""
        entries = self._ledger.entries(key)
        for entry in entries:
            if "text" in entry:
                return _answered(cast("Mapping[str, Any]", entry))
        failures = [cast("Mapping[str, Any]", entry) for entry in entries]
        lasting = [entry for entry in failures if entry["failure"] in LASTING]
        if lasting or len({entry["sitting"] for entry in failures}) >= SITTINGS:
            last = (lasting or failures)[-1]
            return Unanswered(cast("FailureKind", last["failure"]), str(last["detail"]))
        return None

    def _check_complete(self, asked: Mapping[str, Answered | Unanswered]) -> None:
        open_ones = [
            outcome
            for key, outcome in asked.items()
            if isinstance(outcome, Unanswered) and outcome.kind not in LASTING and self._known(key) is None
        ]
        if not open_ones:
            return
        kept = f"{len(asked) - len(open_ones)} of {len(asked)} questions to the judge were answered and are kept"
        if self._trouble is not None:
            if not isinstance(self._trouble, JudgeError):
                raise self._trouble
            raise JudgeError(f"{self._trouble} ({kept}; the next run goes on from there)")
        counted = Counter(outcome.kind for outcome in open_ones)
        said = ", ".join(f"{count} {WORDS[kind]}" for kind, count in counted.most_common())
        detail = next((f", as in {outcome.detail!r}" for outcome in open_ones if outcome.detail), "")
        raise JudgeError(f"{kept}, {said}{detail}; the next run asks only those")


def _answered(entry: Mapping[str, Any]) -> Answered:
    answer = JudgeAnswer(entry["text"], entry["ended"], entry["first_token"])
    return Answered(answer, entry["tokens"][0], entry["tokens"][1])

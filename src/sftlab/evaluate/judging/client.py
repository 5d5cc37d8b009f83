"""One question to an OpenAI-compatible chat endpoint: sent, sent again where that may help, and read."""

import math
import os
import random
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, Literal

from sftlab.benchmarks.judging.protocol import JudgeAnswer, JudgeQuestion
from sftlab.errors import JudgeError
from sftlab.evaluate.judging.meter import Meter
from sftlab.study.judge import Judge

if TYPE_CHECKING:
    import httpx

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
LONGEST_RETRY_AFTER_SECONDS = 600.0
QUOTED_CHARACTERS = 200

FailureKind = Literal[
    "timed_out", "unreachable", "rate_limited", "server_error", "garbled", "rejected", "refused", "not_asked"
]
WORDS: Mapping[FailureKind, str] = {
    "timed_out": "timed out",
    "unreachable": "could not be reached",
    "rate_limited": "turned away by a rate limit",
    "server_error": "met an error of the server",
    "garbled": "got an answer that is no chat completion",
    "rejected": "rejected as a request",
    "refused": "refused by the judge",
    "not_asked": "not asked",
}
LASTING: frozenset[FailureKind] = frozenset({"refused"})
"""What asking once more would not change."""


@dataclass(frozen=True)
class Answered:
    """What a judge said, and the tokens that question and answer took."""

    answer: JudgeAnswer
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Unanswered:
    """Why there is no answer, with what the server said."""

    kind: FailureKind
    detail: str = ""
    retry_after: float | None = None


class ChatClient:
    """Asks one question at a time for each thread that calls it.

    An endpoint that does not know `logprobs` or `max_tokens` is asked without the one and by the newer name of the
    other from then on. The key is read from the environment when the client is made; it is in no message and no file.
    """

    def __init__(self, judge: Judge, meter: Meter, *, first_pause_seconds: float = FIRST_PAUSE_SECONDS) -> None:
        import httpx

        self._judge = judge
        self._meter = meter
        self._first_pause = first_pause_seconds
        self._random = random.Random()
        self._stopped = Event()
        self._lock = Lock()
        self._not_before = 0.0
        self._dropped: set[str] = set()
        self._key = _api_key(judge)
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        limits = httpx.Limits(max_connections=judge.concurrency)
        self._http = httpx.Client(timeout=judge.timeout_seconds, headers=headers, limits=limits)
        self._address = f"{judge.endpoint.rstrip('/')}/chat/completions"

    def close(self) -> None:
        """Let go of connections."""
        self._http.close()

    def stop(self) -> None:
        """Ask nothing more: whoever waits for a turn or to try again comes back at once."""
        self._stopped.set()

    def ask(self, question: JudgeQuestion) -> Answered | Unanswered:
        """The judge's answer, after as many tries as the study allows.

        Raises BudgetSpentError at a spend limit, and JudgeError where the endpoint does not let this study in at all.
        """
        outcome: Answered | Unanswered = Unanswered("not_asked")
        for attempt in range(self._judge.retries + 1):
            self._wait_for_turn()
            if not self._meter.reserve(question, give_up=self._stopped.is_set):
                return outcome
            outcome = self._sent(question)
            if isinstance(outcome, Answered):
                self._meter.settle(question, (outcome.input_tokens, outcome.output_tokens))
                return outcome
            if outcome.kind in LASTING | {"rejected"}:
                return outcome
            self._pause(attempt, outcome)
        return outcome

    def _sent(self, question: JudgeQuestion) -> Answered | Unanswered:
        import httpx

        try:
            payload = self._payload(question)
            response = self._http.post(self._address, json=payload)
            if (
                response.status_code == 400
                and self._adapted(response.text, payload)
                and self._meter.reserve(question, give_up=self._stopped.is_set)
            ):
                response = self._http.post(self._address, json=self._payload(question))
        except httpx.TimeoutException:
            return Unanswered("timed_out", f"no answer within {self._judge.timeout_seconds:g} s")
        except httpx.HTTPError as error:
            return Unanswered("unreachable", self._quoted(str(error) or type(error).__name__))
        if response.status_code == 200:
            return self._read(response, question)
        return self._failed(response)

    def _payload(self, question: JudgeQuestion) -> dict[str, object]:
        limit = "max_completion_tokens" if "max_tokens" in self._dropped else "max_tokens"
        payload: dict[str, object] = {
            "model": question.model,
            "messages": [asdict(message) for message in question.messages],
            "temperature": question.temperature,
            limit: question.max_tokens,
        }
        if question.top_logprobs and "logprobs" not in self._dropped:
            payload |= {"logprobs": True, "top_logprobs": question.top_logprobs}
        return payload

    def _adapted(self, complaint: str, payload: Mapping[str, object]) -> bool:
        """Whether the endpoint complains of a field of the payload that it can be asked without."""
        for field, sign in (("logprobs", "logprobs"), ("max_tokens", "max_completion_tokens")):
            if field in payload and sign in complaint:
                with self._lock:
                    self._dropped.add(field)
                return True
        return False

    def _failed(self, response: "httpx.Response") -> Unanswered:
        status, said = response.status_code, self._quoted(response.text)
        if status in {401, 403, 404}:
            key = f" with the key in {self._judge.api_key_env}" if self._key else " (and no `api_key_env` is given)"
            raise JudgeError(f"the judge's endpoint {self._address} answers {status} to this study{key}: {said}")
        if status == 429:
            return Unanswered("rate_limited", said, _retry_after(response.headers.get("retry-after")))
        if status in {408, 409, 425} or status >= 500:
            return Unanswered("server_error", f"{status}: {said}", _retry_after(response.headers.get("retry-after")))
        if "content_filter" in response.text or "content_policy" in response.text:
            return Unanswered("refused", said)
        return Unanswered("rejected", f"{status}: {said}")

    def _read(self, response: "httpx.Response", question: JudgeQuestion) -> Answered | Unanswered:
        try:
            body = response.json()
            choice = body["choices"][0]
            text, ended = choice["message"].get("content"), choice.get("finish_reason")
            if ended == "content_filter" or choice["message"].get("refusal"):
                return Unanswered("refused", self._quoted(str(choice["message"].get("refusal") or "content filter")))
            if not isinstance(text, str):
                return Unanswered("garbled", self._quoted(response.text))
            usage = body.get("usage") or {}
            answer = JudgeAnswer(text, ended != "length", _first_token(choice))
            return Answered(
                answer,
                int(usage.get("prompt_tokens") or question.input_tokens),
                int(usage.get("completion_tokens") or len(text.encode()) // 4 + 1),
            )
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            return Unanswered("garbled", self._quoted(response.text))

    def _wait_for_turn(self) -> None:
        """Where the server has named a time to come back, all wait for it."""
        while (wait := self._not_before - time.monotonic()) > 0 and not self._stopped.is_set():
            self._stopped.wait(wait)

    def _pause(self, attempt: int, failure: Unanswered) -> None:
        """Exponential back-off with jitter, or what the server's Retry-After says."""
        if attempt == self._judge.retries:
            return
        if failure.retry_after is not None:
            with self._lock:
                self._not_before = max(self._not_before, time.monotonic() + failure.retry_after)
            return
        longest = min(LONGEST_PAUSE_SECONDS, self._first_pause * 2**attempt)
        self._stopped.wait(self._random.uniform(longest / 2, longest))

    def _quoted(self, text: str) -> str:
        """The beginning of what a server said on one line, without the key if it repeats that."""
        bare = text.replace(self._key, "***") if self._key else text
        line = " ".join(bare.split())
        return line if len(line) <= QUOTED_CHARACTERS else f"{line[: QUOTED_CHARACTERS - 3]}..."


def _api_key(judge: Judge) -> str | None:
    if judge.api_key_env is None:
        return None
    key = os.environ.get(judge.api_key_env, "").strip()
    if not key:
        raise JudgeError(f"the environment variable {judge.api_key_env}, which holds the judge's key, is not set")
    return key


def _first_token(choice: Mapping[str, Any]) -> Mapping[str, float] | None:
    """Alternatives of the first token; of those that read alike without white space the likeliest."""
    content = (choice.get("logprobs") or {}).get("content")
    if not content:
        return None
    found: dict[str, float] = {}
    for one in [content[0], *(content[0].get("top_logprobs") or ())]:
        token, log_probability = str(one["token"]).strip(), float(one["logprob"])
        if math.isfinite(log_probability):
            found[token] = max(log_probability, found.get(token, -math.inf))
    return found or None


def _retry_after(value: str | None) -> float | None:
    """Seconds from now, from a number of seconds or a date; None where the header says neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS) if math.isfinite(seconds) else None

"""The protocol of OpenAI-compatible completions servers, and what of it a server offers."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import httpx

from sftlab.errors import ModelError

T = TypeVar("T")
ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
TIMEOUT = httpx.Timeout(600.0, connect=10.0)
Prompt = str | list[int]
Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Offers:
    """What a server was found to do: prompts as token ids, and log-probabilities of the prompt's own tokens.

    `echo`: the prompt comes back with `logprobs` (OpenAI's form); `prompt_logprobs`: vLLM's own form.
    """

    takes_ids: bool
    prompt_log_probabilities: Literal["echo", "prompt_logprobs"] | None


class RefusedError(Exception):
    """The server will not answer this one question; the text says why."""


class Completions:
    """One model of a server, asked many questions at a time; what fails for the moment is asked again."""

    def __init__(self, address: str, model: str, concurrency: int) -> None:
        self.address = address.rstrip("/")
        self._model = model
        self._concurrency = concurrency
        limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        # A proxy of the environment has no say about a server that the study names.
        self._client = httpx.Client(timeout=TIMEOUT, limits=limits, trust_env=False)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def version(self) -> str | None:
        """The version that the server states (as vLLM does), or None."""
        try:
            found = self._client.get(f"{self.address.removesuffix('/v1')}/version")
            stated = found.json().get("version") if found.status_code == httpx.codes.OK else None
        except (httpx.HTTPError, ValueError, AttributeError):
            return None
        return str(stated) if stated else None

    def offers(self, probe_ids: Sequence[int], probe_text: str) -> Offers:
        """Find out, with a short prompt, what the server does. Raises ModelError where it does not answer at all."""
        ids = list(probe_ids)
        try:
            self.ask({"prompt": ids, "max_tokens": 1, "temperature": 0})
            takes_ids = True
        except (RefusedError, ModelError):
            takes_ids = False
            try:
                self.ask({"prompt": probe_text, "max_tokens": 1, "temperature": 0})
            except RefusedError as error:
                raise ModelError(f"the server at {self.address} does not complete text: {error}") from error
        prompt: Prompt = ids if takes_ids else probe_text
        ways: tuple[Literal["echo", "prompt_logprobs"], ...] = ("echo", "prompt_logprobs")
        found = next((way for way in ways if self._gives(way, prompt, ids)), None)
        return Offers(takes_ids, found)

    def _gives(self, way: Literal["echo", "prompt_logprobs"], prompt: Prompt, ids: list[int]) -> bool:
        try:
            found = prompt_log_probabilities(self.ask(likelihood_question(prompt, way)), way, ids)
        except RefusedError:
            return False
        return all(isinstance(value, float) and value <= 0 for value in found[1:])

    def ask_all(
        self,
        questions: Sequence[Mapping[str, object]],
        read: Callable[[int, Answer], T],
        on_progress: Callable[[float], None],
    ) -> tuple[dict[int, T], dict[int, str]]:
        """Ask everything, many at a time: what was read from each answer, and why some were refused, by place."""
        found: dict[int, T] = {}
        refused: dict[int, str] = {}
        with ThreadPoolExecutor(self._concurrency) as threads:
            asked = {threads.submit(self.ask, question): place for place, question in enumerate(questions)}
            try:
                for done, future in enumerate(as_completed(asked), start=1):
                    place = asked[future]
                    try:
                        found[place] = read(place, future.result())
                    except RefusedError as error:
                        refused[place] = f"the engine refused: {error}"
                    on_progress(done / len(questions))
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                raise
        return found, refused

    def ask(self, question: Mapping[str, object]) -> Answer:
        """The first choice of the answer to one question.

        Connections that break, time-outs, 429 and 5xx are tried again, each time after a longer pause. Raises
        RefusedError where the server says that the question itself is wrong, ModelError where it does not answer.
        """
        problem, told_pause = "", 0.0
        for attempt in range(ATTEMPTS):
            if attempt:
                pause = FIRST_PAUSE_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
                time.sleep(min(max(pause, told_pause), LONGEST_PAUSE_SECONDS))
            try:
                answer = self._client.post(f"{self.address}/completions", json={"model": self._model, **question})
            except httpx.HTTPError as error:
                problem = f"{type(error).__name__}: {error}"
                continue
            if answer.status_code == httpx.codes.TOO_MANY_REQUESTS or answer.is_server_error:
                problem = f"status {answer.status_code}: {_said(answer)}"
                told_pause = _seconds(answer.headers.get("retry-after"))
                continue
            if answer.is_error:
                raise RefusedError(_said(answer))
            try:
                return _first_choice(answer)
            except (ValueError, KeyError, IndexError, TypeError, AttributeError):
                problem = f"an answer of another form: {answer.text[:100]!r}"
        raise ModelError(f"the server at {self.address} gave no answer in {ATTEMPTS} attempts: {problem}")


def likelihood_question(prompt: Prompt, way: Literal["echo", "prompt_logprobs"]) -> dict[str, object]:
    """A question that makes a server tell the log-probabilities of the prompt's tokens."""
    question: dict[str, object] = {"prompt": prompt, "max_tokens": 1, "temperature": 0}
    if way == "echo":
        return {**question, "echo": True, "logprobs": 1}
    return {**question, "prompt_logprobs": 1}


def prompt_log_probabilities(
    answer: Answer, way: Literal["echo", "prompt_logprobs"], ids: Sequence[int]
) -> list[float | None]:
    """Log-probability of each token of a prompt, None for the first. Raises RefusedError where the answer has none."""
    found: list[float | None]
    if way == "echo":
        told = (answer.get("logprobs") or {}).get("token_logprobs") or []
        found = list(told[: len(ids)])
    else:
        told = answer.get("prompt_logprobs") or []
        found = [
            None if one is None else _of_token(one, token)
            for one, token in zip(told[: len(ids)], ids[: len(told)], strict=True)
        ]
    if len(found) != len(ids) or any(value is None for value in found[1:]):
        raise RefusedError(f"{len(told)} log-probabilities came back for a prompt of {len(ids)} tokens")
    return found


def _of_token(told: Mapping[str, Any], token: int) -> float:
    if str(token) not in told:
        raise RefusedError(f"the log-probability of token {token} did not come back")
    value = told[str(token)]
    return float(value["logprob"] if isinstance(value, Mapping) else value)


def _seconds(header: str | None) -> float:
    """A pause that the server asks for; none where it names a date."""
    return float(header) if header is not None and header.isdigit() else 0.0


def _first_choice(answer: httpx.Response) -> Answer:
    choice: Answer = answer.json()["choices"][0]
    if not isinstance(choice.get("text"), str):
        raise KeyError("text")
    return choice


def _said(answer: httpx.Response) -> str:
    """What an error answer says, in one line."""
    try:
        told: Any = answer.json()
    except ValueError:
        told = answer.text
    for name in ("error", "message", "detail"):
        told = told.get(name, told) if isinstance(told, Mapping) else told
    return " ".join(str(told).split())[:300] or f"status {answer.status_code}"

"""A server that is started for one folder of weights, and is gone when it is not needed any more."""

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx

from sftlab.errors import ModelError
from sftlab.study.engine import Server

ANSWER_SECONDS = 5.0
LOOK_SECONDS = 0.25
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Start:
    """What is served: the folder, in what the server computes, and on which CUDA device where there is one."""

    model: str
    dtype: str
    cuda_index: int | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the server: it sees its device alone."""
        if self.cuda_index is None:
            return dict(os.environ)
        seen = [part.strip() for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part.strip()]
        device = seen[self.cuda_index] if seen else str(self.cuda_index)
        return {**os.environ, "CUDA_VISIBLE_DEVICES": device}


class RunningServer:
    """A server process, ended with its whole process group by `stop`, or when this process ends in whatever way."""

    def __init__(self, server: Server, start: Start, log: Path) -> None:
        assert server.serve is not None
        self.port = _free_port()
        self.log = log
        self._server = server
        places = {"{model}": start.model, "{port}": str(self.port), "{dtype}": start.dtype}
        words = [_filled(word, places) for word in shlex.split(server.serve)]
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._keeper = subprocess.Popen(
                [sys.executable, "-m", "sftlab.evaluate.engines.keeper", *words],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=start.environment,
                start_new_session=True,
            )

    @property
    def address(self) -> str:
        """Where its completions are: the part before /completions."""
        return f"http://127.0.0.1:{self.port}/v1"

    def wait_until_healthy(self) -> Self:
        """Wait until it answers. Raises ModelError, with what it wrote last, where it ends or takes too long."""
        deadline = time.monotonic() + self._server.start_seconds
        while time.monotonic() < deadline:
            if self._keeper.poll() is not None:
                raise ModelError(f"the engine {self._server.program} ended before it answered: {self.last_words()}")
            if self._answers():
                return self
            time.sleep(LOOK_SECONDS)
        self.stop()
        raise ModelError(
            f"the engine {self._server.program} did not answer within {self._server.start_seconds} seconds: "
            f"{self.last_words()}"
        )

    def _answers(self) -> bool:
        root = self.address.removesuffix("/v1")
        try:
            found = httpx.get(f"{root}/health", timeout=ANSWER_SECONDS, trust_env=False)
            return found.status_code < httpx.codes.INTERNAL_SERVER_ERROR
        except httpx.HTTPError:
            return False

    def last_words(self) -> str:
        """The last line that it wrote."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else "it wrote nothing"

    def stop(self) -> None:
        """End it and all processes of its group."""
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        try:
            self._keeper.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()


def _filled(word: str, places: Mapping[str, str]) -> str:
    for place, value in places.items():
        word = word.replace(place, value)
    return word


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

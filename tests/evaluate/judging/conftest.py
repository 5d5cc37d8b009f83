"""Judges that tests ask."""

from collections.abc import Callable, Iterator

import pytest

from tests.evaluate.judging.server import JudgeServer


@pytest.fixture
def serve() -> Iterator[Callable[..., JudgeServer]]:
    """Starts servers that end with the test."""
    servers: list[JudgeServer] = []

    def start(*words, **options) -> JudgeServer:
        servers.append(JudgeServer(*words, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()

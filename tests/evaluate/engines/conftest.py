"""Servers on loopback over a tiny model."""

import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sftlab.evaluate.engines.completions import Completions
from sftlab.evaluate.engines.engine import EngineAbout
from sftlab.evaluate.engines.served import ServedEngine, ServedModel
from sftlab.evaluate.engines.server import RunningServer, Start
from sftlab.lm.base import LoadedBase
from sftlab.study.engine import Server
from tests.evaluate.conftest import with_varied_output
from tests.evaluate.engines.reference_server import VERSION
from tests.lm.models import load

REFERENCE = f"{shlex.quote(sys.executable)} {shlex.quote(str(Path(__file__).with_name('reference_server.py')))}"
COMMAND = f"{REFERENCE} {{model}} --port {{port}} --dtype {{dtype}}"
ABOUT = EngineAbout("reference", VERSION, "float32")


@pytest.fixture(scope="session")
def local(folder) -> LoadedBase:
    """The model in memory; the same weights lie in `served_folder`."""
    return with_varied_output(load(folder, "llama"))


@pytest.fixture(scope="session")
def served_folder(local, folder) -> Path:
    target = folder / "served"
    local.model.save_pretrained(target)
    local.tokenizer.save_pretrained(target)
    return target


@pytest.fixture(scope="session")
def start(tmp_path_factory) -> Iterator[Callable[..., RunningServer]]:
    """Starts a server for a folder; all are ended with the tests."""
    started: list[RunningServer] = []

    def begin(folder: Path, command: str = COMMAND, **fields: object) -> RunningServer:
        log = tmp_path_factory.mktemp("server") / "log"
        server = Server(serve=command, name="reference", version=VERSION, **{"start_seconds": 90, **fields})
        started.append(RunningServer(server, Start(str(folder), "float32"), log))
        return started[-1]

    yield begin
    for server in started:
        server.stop()


def engine(server: RunningServer, folder: Path, local: LoadedBase, about: EngineAbout = ABOUT) -> ServedEngine:
    server.wait_until_healthy()
    return ServedEngine(
        ServedModel("llama", local.base_tokenizer), Completions(server.address, str(folder), concurrency=4), about
    )

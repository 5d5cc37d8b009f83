"""A server with the same weights gives the scores of the model in memory; what it cannot do is said in a sentence."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sftlab.errors import ModelError
from sftlab.evaluate.engines.built_in import BuiltInEngine
from sftlab.evaluate.engines.completions import Completions
from sftlab.evaluate.engines.engine import EngineAbout
from sftlab.evaluate.engines.server import RunningServer, Start
from sftlab.evaluate.scoring import score_with
from sftlab.lm.kept_answers import KeptAnswers
from sftlab.lm.likelihood import Request
from sftlab.study.engine import Server
from tests.evaluate.conftest import benchmark, choice_items
from tests.evaluate.engines.conftest import COMMAND, engine
from tests.evaluate.engines.reference_server import VERSION

EXACT = ["item", "scorer", "metric", "answer", "status"]


@pytest.fixture(scope="session")
def reference(start, served_folder, local):
    return engine(start(served_folder, f"{COMMAND} --fail-first 2"), served_folder, local)


@pytest.fixture(scope="session")
def text_only(start, served_folder, local):
    return engine(start(served_folder, f"{COMMAND} --without ids"), served_folder, local)


@pytest.fixture(scope="session")
def transformers_serve(start, served_folder, local):
    """The real one: text prompts and no log-probabilities of them."""
    program = shlex.quote(str(Path(sys.executable).with_name("transformers")))
    server = start(served_folder, f"{program} serve {{model}} --port {{port}} --dtype {{dtype}} --device cpu")
    return engine(server, served_folder, local, EngineAbout("transformers", "5", "float32"))


def frames(served, local, asked):
    inside = score_with(BuiltInEngine(local, 600), asked, template="plain").rows["items"]
    return inside, score_with(served, asked, template="plain").rows["items"]


@pytest.mark.parametrize("name", ["reference", "text_only"])
def test_a_server_gives_the_scores_of_the_model_in_memory(name, request, local):
    served = request.getfixturevalue(name)
    asked = benchmark(choice_items(10), "likelihood", "generative", stops=("a",), max_new_tokens=6)
    inside, outside = frames(served, local, asked)
    assert outside.select(EXACT).equals(inside.select(EXACT))
    np.testing.assert_allclose(outside["score"], inside["score"], rtol=1e-5)
    known = inside["log_likelihood"].drop_nulls()
    np.testing.assert_allclose(outside["log_likelihood"].drop_nulls(), known, atol=1e-4)
    assert outside["answer"].drop_nulls().n_unique() > 3


class Counted(Completions):
    """Counts the questions that a server is asked."""

    questions = 0

    def ask(self, question):
        self.questions += 1
        return super().ask(question)


def test_an_interrupted_score_asks_a_server_only_what_was_not_answered(reference, tmp_path):
    client = Counted(reference._server.address, reference._server._model, concurrency=1)
    asked = benchmark(choice_items(10), "likelihood", "generative", stops=("a",), max_new_tokens=6)
    served = type(reference)(reference.model, client, reference.about)
    at_first = client.questions
    whole = score_with(served, asked, template="plain")
    num_questions = client.questions - at_first

    def interrupt(share):
        if share >= 0.6:
            raise KeyboardInterrupt

    client.questions = 0
    with pytest.raises(KeyboardInterrupt):
        score_with(served.keeping(KeptAnswers(tmp_path)), asked, template="plain", on_progress=interrupt)
    before = client.questions
    again = score_with(served.keeping(KeptAnswers(tmp_path)), asked, template="plain")
    assert 0 < before < num_questions
    assert num_questions <= client.questions <= num_questions + 2
    assert again.rows["items"].equals(whole.rows["items"])
    score_with(served.keeping(KeptAnswers(tmp_path)), asked, template="plain")
    assert client.questions <= num_questions + 2


def test_what_servers_offer_is_found_out(reference, text_only, transformers_serve):
    assert (reference.offers.takes_ids, reference.offers.prompt_log_probabilities) == (True, "echo")
    assert (text_only.offers.takes_ids, text_only.offers.prompt_log_probabilities) == (False, "echo")
    found = transformers_serve.offers
    assert (found.takes_ids, found.prompt_log_probabilities) == (False, None)


def test_transformers_serve_writes_what_the_model_in_memory_writes(transformers_serve, local):
    asked = benchmark(choice_items(8), "generative", max_new_tokens=6)
    inside, outside = frames(transformers_serve, local, asked)
    assert outside.equals(inside)
    assert outside["answer"].n_unique() > 2


def test_likelihood_is_refused_where_the_server_tells_no_log_probabilities(transformers_serve):
    with pytest.raises(ModelError, match=r"tells no log-probabilities of prompts.*scorers: \[generative\]"):
        score_with(transformers_serve, benchmark(choice_items(2), "likelihood"), template="plain")


def test_what_the_server_refuses_is_unfit_with_its_reason(reference, local):
    room = local.context_length
    ids = np.array(local.base_tokenizer.encode_text("the cat " * room)[:room], dtype=np.int32)
    answers = reference.log_likelihoods([_request(ids, 1), _request(ids[:9], 2)])
    assert answers.unfit == {0: f"the engine refused: {room} tokens are too many"}
    assert np.isnan(answers.log_likelihood).tolist() == [True, False]


def _request(ids, last: int):
    return Request(ids[:-last], ids[-last:])


def test_an_answer_ends_where_the_context_does(reference, local):
    ids = np.array(local.base_tokenizer.encode_text("the cat " * 200)[: local.context_length - 3], dtype=np.int32)
    inside = BuiltInEngine(local, 600).generate([ids], max_new_tokens=20)
    assert reference.generate([ids], max_new_tokens=20).texts == inside.texts


def test_another_version_than_the_study_says_is_refused(reference):
    with pytest.raises(ModelError, match=f"says that it is version {VERSION}, and the study says 9"):
        type(reference)(reference.model, reference._server, EngineAbout("reference", "9", "float32"))


def test_a_command_that_ends_is_told_with_its_last_words(start, served_folder):
    command = f"{shlex.quote(sys.executable)} -c \"raise SystemExit('no such model')\" {{model}} {{port}} {{dtype}}"
    with pytest.raises(ModelError, match="ended before it answered: no such model"):
        start(served_folder, command).wait_until_healthy()


def test_a_server_that_never_answers_is_given_up_and_ended(start, served_folder):
    command = f'{shlex.quote(sys.executable)} -c "import time; time.sleep(99)" {{model}} {{port}} {{dtype}}'
    server = start(served_folder, command, start_seconds=1)
    with pytest.raises(ModelError, match="did not answer within 1 seconds"):
        server.wait_until_healthy()
    assert server._keeper.poll() is not None


@pytest.mark.parametrize("how", ["stopped", "starter killed"])
def test_the_whole_group_of_a_server_is_ended(how, tmp_path):
    child = tmp_path / "child"
    stubborn = f"trap '' TERM; sleep 600 & echo $! > {child}.part; mv {child}.part {child}; wait"
    serve = f"sh -c {shlex.quote(stubborn)} {{model}} {{port}} {{dtype}}"
    if how == "stopped":
        server = RunningServer(Server(serve=serve), Start("m", "float32"), tmp_path / "log")
        _wait(child.is_file)
        assert _lives(int(child.read_text()))
        server.stop()
    else:
        program = (
            "import sys, time\nfrom pathlib import Path\n"
            "from sftlab.evaluate.engines.server import RunningServer, Start\nfrom sftlab.study.engine import Server\n"
            "kept = RunningServer(Server(serve=sys.argv[1]), Start('m', 'float32'), Path(sys.argv[2]))\n"
            "time.sleep(99)\n"
        )
        starter = subprocess.Popen([sys.executable, "-c", program, serve, str(tmp_path / "log")])
        _wait(child.is_file)
        assert _lives(int(child.read_text()))
        starter.send_signal(signal.SIGKILL)
        starter.wait()
    _wait(lambda: not _lives(int(child.read_text())))


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


def _wait(condition) -> None:
    deadline = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "either `serve`"),
        ({"serve": "vllm serve --port {port} --dtype {dtype}"}, "`serve` has {model} in it"),
        ({"serve": "vllm serve {model} --port {port}"}, "`serve` has {dtype} in it"),
        ({"endpoint": "http://localhost:1/v1", "model": "m"}, "say its `name`"),
    ],
)
def test_an_engine_that_is_not_whole_is_refused(fields, says):
    with pytest.raises(ValueError, match=says):
        Server(**fields)


def test_scores_say_which_engine_answered(reference):
    result = score_with(reference, benchmark(choice_items(2), "likelihood"), template="plain").result
    assert result["engine"] == f"reference {VERSION}, float32"
    assert pl.Series([result["unfit_items"]]).to_list() == [0]

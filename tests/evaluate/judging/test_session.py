"""Questions to a judge: each asked once ever, whatever goes wrong on the way."""

import json
import threading
import time

import pytest

from sftlab.benchmarks.judging.protocol import JudgeQuestion, Message
from sftlab.errors import JudgeError
from sftlab.evaluate.judging.client import Answered, Unanswered
from sftlab.evaluate.judging.meter import Clock, Meter
from sftlab.evaluate.judging.session import Desk, JudgeSession
from sftlab.study.judge import Judge
from tests.evaluate.judging.server import said


def question(number, **options) -> JudgeQuestion:
    options = {"temperature": 0.0, "max_tokens": 16, **options}
    return JudgeQuestion("turn_1", "judge", (Message("user", f"question {number}"),), **options)


def number_of(payload) -> int:
    return int(payload["messages"][-1]["content"].split()[-1])


def echo(payload) -> dict:
    return said(f"answer {number_of(payload)}")


def desk(server, folder, *, study="s", **options) -> Desk:
    judge = Judge(endpoint=server.endpoint, model="judge", **{"timeout_seconds": 5, "retries": 3, **options})
    return Desk(judge, folder, study, first_pause_seconds=0.01)


def ask(at: Desk, numbers, **options) -> dict[int, Answered | Unanswered]:
    questions = {number: question(number, **options) for number in numbers}
    found = JudgeSession(at).answers(list(questions.values()), lambda _: None)
    return {number: found.outcomes[one.key] for number, one in questions.items()}


def text(outcome) -> str:
    assert isinstance(outcome, Answered)
    return outcome.answer.text


def test_all_questions_are_answered_and_known_afterwards(serve, tmp_path):
    server = serve(echo)
    for _ in range(2):
        found = ask(desk(server, tmp_path), range(30))
        assert {number: text(one) for number, one in found.items()} == {n: f"answer {n}" for n in range(30)}
    assert len(server.requests) == 30
    assert set(server.requests[0]) == {"model", "messages", "temperature", "max_tokens"}
    assert server.requests[0]["model"] == "judge"


def test_equal_questions_are_asked_once_and_other_parameters_are_another_question(serve, tmp_path):
    server = serve(echo)
    at = desk(server, tmp_path)
    JudgeSession(at).answers([question(1), question(1), question(2)], lambda _: None)
    assert len(server.requests) == 2
    ask(at, [1], temperature=1.0)
    ask(at, [1], max_tokens=17)
    ask(at, [1], attempt=2)
    assert len(server.requests) == 5


@pytest.mark.parametrize(
    "faults",
    [
        ["429"],
        ["500", "503"],
        ["retry-after 0.05"],
        ["retry-after Thu, 01 Jan 2015 00:00:00 GMT"],
        ["drop", "drop"],
        ["half"],
        ["no-json", "no-choices"],
        ["500", "429", "half"],
    ],
)
def test_a_passing_fault_is_tried_again(serve, tmp_path, faults):
    server = serve(echo, lambda payload: faults if number_of(payload) == 3 else [])
    found = ask(desk(server, tmp_path), range(6))
    assert text(found[3]) == "answer 3"
    assert len(server.requests) == 6 + len(faults)


def test_a_judge_that_hangs_times_out_and_is_asked_again(serve, tmp_path):
    server = serve(echo, lambda payload: ["hang 1"] if number_of(payload) == 0 else [])
    started = time.monotonic()
    assert text(ask(desk(server, tmp_path, timeout_seconds=0.2), range(3))[0]) == "answer 0"
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("429", "turned away by a rate limit"),
        ("500 no disk", "no disk"),
        ("drop", "could not be reached"),
        ("half", "could not be reached"),
        ("no-json", "no chat completion"),
        ("400 context length exceeded", "context length exceeded"),
    ],
)
def test_a_lasting_fault_leaves_only_its_question_open_and_for_good_after_three_sittings(serve, tmp_path, fault, words):
    broken = {1, 4}
    server = serve(echo, lambda payload: [fault] * 100 if number_of(payload) in broken else [])
    at = desk(server, tmp_path, retries=1)
    with pytest.raises(
        JudgeError, match=r"4 of 6 questions .* answered and are kept, 2 .*next run asks only those"
    ) as got:
        ask(at, range(6))
    assert words in str(got.value)
    asked = len(server.requests)
    with pytest.raises(JudgeError):
        ask(at, range(6))
    assert {number_of(payload) for payload in server.requests[asked:]} == broken
    found = ask(at, range(6))
    assert [number for number, one in found.items() if isinstance(one, Unanswered)] == [1, 4]
    settled = len(server.requests)
    ask(at, range(6))
    assert len(server.requests) == settled
    assert max(server.answered.values()) == 1


def test_a_question_open_in_one_sitting_is_answered_in_the_next(serve, tmp_path):
    server = serve(echo, lambda payload: ["500"] * 2 if number_of(payload) == 1 else [])
    at = desk(server, tmp_path, retries=1)
    with pytest.raises(JudgeError, match="1 met an error of the server"):
        ask(at, range(3))
    assert text(ask(at, range(3))[1]) == "answer 1"


@pytest.mark.parametrize("fault", ["refusal", "filter", "400 blocked by content_filter"])
def test_a_refusal_is_kept_and_not_asked_again(serve, tmp_path, fault):
    server = serve(echo, lambda payload: [fault] * 9 if number_of(payload) == 1 else [])
    for _ in range(2):
        found = ask(desk(server, tmp_path), range(3))
        assert isinstance(found[1], Unanswered)
        assert found[1].kind == "refused"
    assert len(server.requests) == 3


def test_a_dead_judge_is_given_up_after_a_few_questions(serve, tmp_path):
    server = serve(echo, lambda _: ["500 out of order"] * 9)
    with pytest.raises(JudgeError, match=r"first 8 questions .*out of order.*0 of 100 .* are kept"):
        ask(desk(server, tmp_path, retries=0, concurrency=2), range(100))
    assert len(server.requests) < 20


def test_nobody_listening_is_one_sentence(tmp_path):
    judge = Judge(endpoint="http://127.0.0.1:9/v1", model="judge", retries=0)
    with pytest.raises(JudgeError, match="could not be reached"):
        ask(Desk(judge, tmp_path, "s", 0.01), range(3))


def test_calls_in_flight_are_no_more_than_the_study_allows(serve, tmp_path):
    server = serve(echo, lambda _: ["hang 0.05"])
    ask(desk(server, tmp_path, concurrency=3), range(12))
    assert server.most_at_once == 3


def test_the_key_is_sent_and_neither_kept_nor_told(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "sk-secret")
    server = serve(echo, lambda payload: ["500 wrong key sk-secret"] if number_of(payload) == 1 else [])
    at = desk(server, tmp_path, api_key_env="JUDGE_KEY", retries=0)
    with pytest.raises(JudgeError) as got:
        ask(at, range(3))
    assert {header["Authorization"] for header in server.headers} == {"Bearer sk-secret"}
    assert "sk-secret" not in str(got.value)
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"sk-secret" not in path.read_bytes()


def test_a_key_that_is_not_set_is_told_before_anything_is_asked(serve, tmp_path, monkeypatch):
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    server = serve(echo)
    with pytest.raises(JudgeError, match="environment variable JUDGE_KEY"):
        ask(desk(server, tmp_path, api_key_env="JUDGE_KEY"), range(3))
    assert server.requests == []


@pytest.mark.parametrize("status", ["401", "403", "404"])
def test_an_endpoint_that_lets_nobody_in_ends_the_sitting(serve, tmp_path, status):
    server = serve(echo, lambda _: [f"{status} no such model"] * 9)
    with pytest.raises(JudgeError, match=f"answers {status} .*no such model"):
        ask(desk(server, tmp_path, concurrency=1), range(50))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("complaint", "asked_for", "later"),
    [
        ("logprobs is not supported", {"top_logprobs": 5}, {"model", "messages", "temperature", "max_tokens"}),
        (
            "use max_completion_tokens instead",
            {},
            {"model", "messages", "temperature", "max_completion_tokens"},
        ),
    ],
)
def test_a_field_that_the_endpoint_does_not_know_is_left_out(serve, tmp_path, complaint, asked_for, later):
    server = serve(echo)
    server.faults = lambda payload: [f"400 {complaint}"] * 9 if set(payload) != later else []
    found = ask(desk(server, tmp_path, concurrency=1), range(3), **asked_for)
    assert [text(one) for one in found.values()] == [f"answer {number}" for number in range(3)]
    assert len(server.requests) == 4


def test_a_killed_sitting_goes_on_without_asking_twice(serve, tmp_path):
    """A line cut in the middle of being written is as if it had not been; all whole ones count."""
    server = serve(echo)
    at = desk(server, tmp_path)
    ask(at, range(10))
    ledger = tmp_path / "answers.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:6]) + lines[6][:20])
    lost = {json.loads(line)["text"] for line in lines[6:]}
    asked = len(server.requests)
    found = ask(at, range(10))
    assert {text(one) for one in found.values()} == {f"answer {number}" for number in range(10)}
    assert {f"answer {number_of(payload)}" for payload in server.requests[asked:]} == lost


def test_two_workers_with_the_same_questions_ask_each_once(serve, tmp_path):
    server = serve(echo, lambda _: ["hang 0.02"])
    found: list[dict] = []
    workers = [threading.Thread(target=lambda: found.append(ask(desk(server, tmp_path), range(20)))) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(server.requests) == 20
    assert all(text(one) == f"answer {number}" for each in found for number, one in each.items())


def test_the_limit_of_calls_is_never_passed_and_can_be_raised(serve, tmp_path):
    server = serve(echo)
    with pytest.raises(JudgeError, match=r"all 7 calls .*budget_calls.*7 of 20 .* kept.*next run goes on"):
        ask(desk(server, tmp_path, budget_calls=7), range(20))
    assert len(server.requests) == 7
    with pytest.raises(JudgeError, match="all 7 calls"):
        ask(desk(server, tmp_path, budget_calls=7), range(20))
    assert len(server.requests) == 7
    ask(desk(server, tmp_path, budget_calls=20), range(20))
    assert len(server.requests) == 20


def test_the_limit_of_another_study_is_its_own(serve, tmp_path):
    server = serve(echo)
    ask(desk(server, tmp_path, budget_calls=5), range(5))
    ask(desk(server, tmp_path, study="other", budget_calls=5), range(10))
    assert len(server.requests) == 10


def test_the_limit_of_money_holds_and_spending_is_what_answers_took(serve, tmp_path):
    server = serve(lambda payload: said(f"answer {number_of(payload)}", usage=(20, 10)))
    prices = {"usd_per_million_input": 1.0e4, "usd_per_million_output": 1.0e5}
    at = desk(server, tmp_path, budget_usd=9.0, concurrency=1, **prices)
    with pytest.raises(JudgeError, match="budget_usd"):
        ask(at, range(20))
    spent = Meter(tmp_path / "spent-s.json", at.judge).spent
    assert spent.calls == len(server.requests)
    assert spent.usd == pytest.approx(1.2 * spent.calls)
    assert 6.0 < spent.usd <= 9.0


class HandMoved:
    """A clock that moves only while somebody sleeps by it."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def sleep(self, seconds: float) -> None:
        assert seconds > 0.0
        self.seconds += seconds

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.seconds, self.sleep, window_seconds=60.0)


def turns(path, tokens, **limits) -> list[float]:
    """When each of several requests has its turn, by a clock that moves only while they wait."""
    judge, hand = Judge(endpoint="http://127.0.0.1:9/v1", model="judge", **limits), HandMoved()
    at: list[float] = []
    for most in tokens:
        assert Meter(path, judge, clock=hand.clock).reserve(question(1, max_tokens=most), give_up=lambda: False)
        at.append(hand.seconds - 1000.0)
    return at


def test_requests_keep_to_the_limit_per_window_and_wait_no_longer(tmp_path):
    at = turns(tmp_path / "spent.json", [16] * 8, requests_per_minute=3)
    assert at == pytest.approx([0, 0, 0, 60, 60, 60, 120, 120])


def test_tokens_keep_to_the_limit_per_window_and_a_long_question_still_has_its_turn(tmp_path):
    at = turns(tmp_path / "spent.json", (60, 30, 60, 500, 10), tokens_per_minute=100)
    assert at == pytest.approx([0, 0, 60, 120, 180])


def test_a_meter_waits_by_the_system_clock_unless_told_otherwise(tmp_path):
    """Its window begins after the first request is handed in, and the second has its turn after its end."""
    judge = Judge(endpoint="http://127.0.0.1:9/v1", model="judge", requests_per_minute=1)
    meter = Meter(tmp_path / "spent.json", judge, clock=Clock(window_seconds=0.1))
    started = time.time()
    for _ in range(2):
        meter.reserve(question(1), give_up=lambda: False)
    assert time.time() - started >= 0.1

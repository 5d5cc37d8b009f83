"""Whole studies scored by a judge on loopback: MT-Bench and AlpacaEval 2, killed, resumed, with faults on the way."""

import json
import os
import time
from pathlib import Path

import polars as pl
import pytest

from sftlab.cli.working import do_missing
from sftlab.errors import StudyError
from sftlab.execute.session import Outcome
from sftlab.plan.judge_cost import judge_cost
from sftlab.plan.tasks import pending_jobs
from tests.end_to_end.flow import sftlab, small_study
from tests.end_to_end.inline import TINY, opened, rows, without_benchmarks
from tests.end_to_end.test_faults import kill_everything, start
from tests.evaluate.judging.server import JudgeServer, said

QUESTIONS = (
    ("writing", "Where does Anna live?", "And Bob?"),
    ("math", "What is 2 + 3?", "And 3 + 4?"),
    ("coding", "Print one.", "Print two."),
    ("stem", "What falls?", "Why?"),
)
OUTPUTS = {
    "Say hello.": "Hi.",
    "Name a town.": "Gladly: a town that I know well is Bern, where I was born and where I would like to live.",
    "Count to three.": "One, two, three.",
    "Name a colour.": "Blue is a colour, and green.",
}
MODELS, MT_CALLS, ALPACA_CALLS = 3, 8, 4


@pytest.fixture
def server():
    started = JudgeServer(verdict)
    yield started
    started.close()


def verdict(payload: dict) -> dict:
    """A rating, or a preference for the shorter output, that depends on the prompt and on nothing else."""
    prompt = payload["messages"][-1]["content"]
    if payload["max_tokens"] == 1:
        first, second = (part.split('"""')[1] for part in prompt.split('"output":')[1:])
        log_odds = (len(second) - len(first)) / 20
        return said("m" if log_odds > 0 else "M", ended=False, logprobs={"m": log_odds, "M": 0.0})
    return said(f"It is short. Rating: [[{1 + len(prompt) % 10}]]")


def judged_study(folder: Path, server: JudgeServer, **judge) -> Path:
    """The tiny study: a base and two runs, scored by a judge only."""
    study = without_benchmarks(small_study(folder, TINY))
    bench = folder / "judged"
    bench.mkdir()
    turns = [{"question_id": n, "category": one[0], "turns": one[1:]} for n, one in enumerate(QUESTIONS)]
    references = [
        {"question_id": n, "choices": [{"turns": ["Five.", "Seven."]}]}
        for n, one in enumerate(QUESTIONS)
        if one[0] in {"math", "coding"}
    ]
    outputs = [{"instruction": text, "output": output} for text, output in OUTPUTS.items()]
    _write_lines(bench / "mt_bench_questions.jsonl", turns)
    _write_lines(bench / "mt_bench_reference_gpt4.jsonl", references)
    (bench / "gpt4_1106_preview__model_outputs.json").write_text(json.dumps(outputs))
    options = {"endpoint": server.endpoint, "model": "my-judge", "timeout_seconds": 10, "retries": 0, **judge}
    evaluation = {
        "benchmarks_dir": "judged",
        "benchmarks": [{"name": "mt_bench", "max_new_tokens": 8}, {"name": "alpaca_eval", "max_new_tokens": 8}],
        "judge": options,
    }
    study.write_text(study.read_text() + f"evaluation: {json.dumps(evaluation)}\n")
    return study


def run(study: Path, store: Path) -> Outcome:
    return do_missing(opened(study, store), on="inline", workers=1)


def fit(scores: pl.DataFrame) -> pl.DataFrame:
    """The scores that four items are enough for."""
    return scores.filter(pl.col("metric").ne_missing("length_controlled_win_rate"))


def _write_lines(path: Path, lines: list[dict]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_study_is_judged_and_its_tables_say_so(tmp_path, server):
    study, store = judged_study(tmp_path, server), tmp_path / "store"
    outcome = run(study, store)
    assert outcome.failed == ()
    scores = rows(study, "scores", store)
    assert set(scores["scorer"]) == {"judge"}
    few = scores.filter(pl.col("metric") == "length_controlled_win_rate")
    assert set(few["status"]) == {"unfit"}
    assert few["value"].null_count() == few.height == MODELS
    assert all("parts wins from losses" in reason or "20 judged items" in reason for reason in few["reason"])
    assert set(fit(scores)["status"]) == {"done"}
    main = scores.filter(pl.col("main"))
    assert main.height == 2 * MODELS
    assert set(main["metric"]) == {"rating", "win_rate"}
    assert main["n"].to_list() == [4] * 2 * MODELS
    assert main["unjudged"].to_list() == [0] * 2 * MODELS
    items = rows(study, "items", store)
    ratings = items.filter(pl.col("metric") == "rating:turn_2")
    assert set(ratings["stratum"]) == {one[0] for one in QUESTIONS}
    for row in ratings.iter_rows(named=True):
        assert row["verdict"] == f"It is short. Rating: [[{row['score']:.0f}]]"
    wins = items.filter(pl.col("metric") == "win_rate")
    lengths = [len(output) for output in OUTPUTS.values()]
    for row in wins.iter_rows(named=True):
        odds = 2.718281828 ** ((lengths[int(row["item"])] - len(row["answer"])) / 20)
        assert row["score"] == pytest.approx(odds / (1 + odds), rel=1e-6)


def test_reference_answers_are_shown_where_the_category_needs_them(tmp_path, server):
    run(judged_study(tmp_path, server), tmp_path / "store")
    ratings = [payload["messages"][-1]["content"] for payload in server.requests if payload["max_tokens"] > 1]
    for _, first, second in (QUESTIONS[1], QUESTIONS[3]):
        about = [prompt for prompt in ratings if first in prompt]
        assert len({second in prompt for prompt in about}) == 2
        assert {"Reference" in prompt for prompt in about} == {first == QUESTIONS[1][1]}


def test_a_second_run_and_a_study_with_another_speed_ask_nothing(tmp_path, server):
    study, store = judged_study(tmp_path, server), tmp_path / "store"
    run(study, store)
    asked = len(server.requests)
    study.write_text(study.read_text().replace('"retries": 0', '"retries": 4, "concurrency": 2'))
    assert run(study, store).done == 0
    study.write_text(study.read_text().replace('"model": "my-judge"', '"model": "another"'))
    assert run(study, store).done == 2 * MODELS
    assert len(server.requests) == 2 * asked


def test_faults_leave_cells_open_that_the_next_run_closes(tmp_path, server):
    server.faults = lambda payload: ["500"] if "Name a town" in str(payload["messages"]) else []
    study, store = judged_study(tmp_path, server), tmp_path / "store"
    first = run(study, store)
    assert {failure.subject.split()[0] for failure in first.failed} == {"alpaca_eval"}
    assert "met an error of the server" in first.failed[0].reason
    assert set(fit(rows(study, "scores", store))["status"]) == {"done", "failed"}
    answered = set(server.answered)
    assert run(study, store).failed == ()
    assert all(server.answered[prompt] == 1 for prompt in answered)
    assert set(fit(rows(study, "scores", store))["status"]) == {"done"}


def test_items_without_a_verdict_are_left_out_and_counted(tmp_path, server):
    def faulty(payload: dict) -> dict:
        text = str(payload["messages"][-1]["content"])
        if "What falls?" in text and "Why?" not in text:
            return said("I would rather talk about the weather.")
        return verdict(payload)

    server.reply = faulty
    server.faults = lambda payload: ["refusal"] * 9 if "Count to three" in str(payload["messages"]) else []
    study, store = judged_study(tmp_path, server), tmp_path / "store"
    assert run(study, store).failed == ()
    main = rows(study, "scores", store).filter(pl.col("main"))
    assert main["n"].to_list() == [3] * 2 * MODELS
    assert main["unjudged"].to_list() == [1] * 2 * MODELS
    assert main["unfit"].to_list() == [0] * 2 * MODELS
    reasons = dict(main.select("benchmark", "reason").iter_rows())
    assert reasons["mt_bench"] == "1 of 4 items have no verdict: no verdict can be read in the judge's answer"
    assert reasons["alpaca_eval"] == "1 of 4 items have no verdict: refused by the judge"
    by_metric = dict(rows(study, "scores", store).select("metric", "reason").iter_rows())
    assert by_metric["rating:turn_1"] == reasons["mt_bench"]
    assert by_metric["rating:turn_2"] is None
    items = rows(study, "items", store).filter(pl.col("status") == "failed")
    assert set(items["metric"]) == {"rating", "rating:turn_1", "win_rate", "length_controlled_win_rate"}
    assert items["score"].null_count() == items.height
    assert items["answer"].null_count() == 0


def test_a_plan_says_what_a_judge_will_cost_and_refuses_above_the_limit(tmp_path, server):
    prices = {"usd_per_million_input": 10, "usd_per_million_output": 30}
    study, store = judged_study(tmp_path, server, **prices), tmp_path / "store"
    shown = sftlab("plan", study, "--store", store).stdout
    calls = MODELS * (MT_CALLS + ALPACA_CALLS)
    assert f"judge my-judge: up to {calls} calls" in " ".join(shown.split())
    now = opened(study, store)
    told = judge_cost(now.study.evaluation, pending_jobs(now.resolved, now.store), now.store)
    assert told is not None
    assert told.calls == calls
    assert told.usd == pytest.approx((told.input_tokens * 10 + told.output_tokens * 30) / 1e6)
    study.write_text(study.read_text().replace('"retries": 0', '"retries": 0, "budget_calls": 35'))
    assert "budget_calls allows 35" in " ".join(sftlab("plan", study, "--store", store, code=2).stderr.split())
    with pytest.raises(StudyError, match="budget_calls allows 35"):
        run(study, store)
    assert server.requests == []


def test_a_judged_benchmark_without_a_judge_is_one_sentence(tmp_path, server):
    study = judged_study(tmp_path, server)
    text = study.read_text()
    study.write_text(text[: text.index(', "judge"')] + "}\n")
    with pytest.raises(StudyError, match="'mt_bench' is scored by a judge, and none is given"):
        opened(study, tmp_path / "store")


@pytest.mark.long
def test_a_killed_study_goes_on_without_asking_twice(tmp_path, server):
    server.faults = lambda _: ["hang 0.1"]
    study, store = judged_study(tmp_path, server, concurrency=2), tmp_path / "store"
    process = start(study, store)
    end = time.monotonic() + 240
    while _kept(store) < 10 and time.monotonic() < end and process.poll() is None:
        time.sleep(0.02)
    kill_everything(process)
    kept = _kept(store)
    assert kept >= 10
    assert run(study, store).failed == ()
    in_flight = 2 * (os.cpu_count() or 1)
    assert sum(server.seen.values()) - len(server.seen) <= in_flight
    assert _kept(store) == len(server.seen) > kept
    assert set(fit(rows(study, "scores", store))["status"]) == {"done"}


def _kept(store: Path) -> int:
    ledger = store / "judge" / "answers.jsonl"
    return len(ledger.read_bytes().splitlines()) if ledger.exists() else 0

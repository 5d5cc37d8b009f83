"""One queue of answers for all benchmarks of a checkpoint: equal texts, fewer passes, and nothing written twice."""

import polars as pl
import pytest

from sftlab.errors import BenchmarkError
from sftlab.evaluate.engines import built_in
from sftlab.evaluate.engines.built_in import BuiltInEngine
from sftlab.execute import steps
from sftlab.lm.memory import Shortage
from tests.end_to_end.inline import opened, rows, run, study_of

BENCHMARKS = """
  benchmarks:
    - {name: short, data: DATA, prompt: question, response: answer, scorers: [generative], max_new_tokens: 4}
    - {name: bits, data: DATA, prompt: question, response: answer}
    - {name: long, data: DATA, prompt: question, response: answer, scorers: [likelihood, generative], items: 9}
"""


@pytest.fixture
def study(tmp_path):
    plain = study_of(tmp_path, "plain")
    questions = [f'{{"question": "How many are {n} and {n}?", "answer": "{2 * n}"}}' for n in range(12)]
    (tmp_path / "questions.jsonl").write_text("\n".join(questions))
    asked = BENCHMARKS.replace("DATA", str(tmp_path / "questions.jsonl"))
    plain.write_text(plain.read_text().partition("evaluation:")[0] + f"evaluation:{asked}measures: []\n")
    return plain


@pytest.fixture
def queues(monkeypatch):
    """How many sets of prompts each queue had."""
    seen = []
    whole = BuiltInEngine.generate_all

    def counted(self, asked, **options):
        seen.append(len(asked))
        return whole(self, asked, **options)

    monkeypatch.setattr(BuiltInEngine, "generate_all", counted)
    return seen


def test_benchmarks_of_a_checkpoint_share_a_queue_and_answer_as_one_by_one(study, tmp_path, queues, monkeypatch):
    assert run(study, tmp_path / "together").failed == ()
    checkpoints = rows(study, "scores", tmp_path / "together")["checkpoint"].n_unique()
    assert queues == [2] * checkpoints
    monkeypatch.setattr(steps, "written_ahead", lambda *_given, **_options: {})
    assert run(study, tmp_path / "apart").failed == ()
    assert queues[checkpoints:] == [1] * (2 * checkpoints)
    for name in ("scores", "items"):
        assert rows(study, name, tmp_path / "together").equals(rows(study, name, tmp_path / "apart"))
    answers = rows(study, "items", tmp_path / "together").filter(pl.col("scorer") == "generative")["answer"]
    assert answers.null_count() == 0
    questions = rows(study, "questions", tmp_path / "together")
    assert dict(questions.group_by("benchmark").len().iter_rows()) == {"short": 12, "bits": 12, "long": 9}
    assert questions.row(3, named=True) == {
        "benchmark": "short", "item": "3", "stratum": None, "prompt": "How many are 3 and 3?", "gold": "6",
    }  # fmt: skip
    assert rows(study, "items", tmp_path / "together").filter(scorer="generative")["written"].null_count() == 0


def test_what_was_written_before_an_interruption_is_not_written_again(study, tmp_path, queues, monkeypatch):
    store = tmp_path / "store"
    scored = steps.score_with

    def interrupted(engine, benchmark, **options):
        if benchmark.name == "long":
            raise KeyboardInterrupt
        return scored(engine, benchmark, **options)

    monkeypatch.setattr(steps, "score_with", interrupted)
    assert run(study, store).interrupted
    assert queues == [2]
    monkeypatch.setattr(steps, "score_with", scored)
    assert run(study, store).failed == ()
    assert queues[1:] == [2] * (len(queues) - 1)
    assert len(queues) == rows(study, "scores", store)["checkpoint"].n_unique()
    assert not list((store / "working").glob("answers-*"))
    run(study, tmp_path / "undisturbed")
    assert rows(study, "items", store).equals(rows(study, "items", tmp_path / "undisturbed"))


def test_a_prompt_that_does_not_fit_in_memory_is_left_out_of_its_own_benchmark(study, tmp_path, monkeypatch):
    whole = built_in.generate_all

    def short_of_memory(base, asked, *, shortage: Shortage, **options):
        texts = whole(base, asked, shortage=shortage, **options)
        shortage.times, shortage.unfit = 1, {12 + 3: 77}
        return texts

    monkeypatch.setattr(built_in, "generate_all", short_of_memory)
    assert run(study, tmp_path / "store").failed == ()
    items = rows(study, "items", tmp_path / "store").filter(pl.col("scorer") == "generative")
    unfit = items.filter(pl.col("status") == "unfit")
    assert set(unfit["benchmark"]) == {"long"}
    assert set(unfit["item"]) == {"3"}
    assert set(unfit["reason"]) == {"77 tokens do not fit in memory"}
    now = opened(study, tmp_path / "store")
    of_base = [now.store.record(cell.identity) for cell in now.resolved.cells.scores if cell.run is None]
    assert [record.result["out_of_memory"] for record in of_base] == [1, 0, 0]


def test_a_benchmark_that_cannot_be_read_fails_alone(study, tmp_path, monkeypatch):
    load = steps.load_benchmark

    def unreadable(ref, **options):
        if ref.name == "long":
            raise BenchmarkError("a row is gone")
        return load(ref, **options)

    monkeypatch.setattr(steps, "load_benchmark", unreadable)
    outcome = run(study, tmp_path / "store")
    assert {one.reason for one in outcome.failed} == {"a row is gone"}
    done = rows(study, "scores", tmp_path / "store").filter(pl.col("status") == "done")
    assert set(done["benchmark"]) == {"short", "bits"}

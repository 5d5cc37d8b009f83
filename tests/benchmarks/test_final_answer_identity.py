"""Readings that are part of what a score is: another way to read changes the scores that rest on it, and no others."""

from pathlib import Path

import pytest

from sftlab.benchmarks import task
from sftlab.benchmarks.loading import benchmark_digest
from sftlab.study.declaration import BenchmarkRef


@pytest.mark.parametrize(("name", "rests"), [("math", True), ("gsm8k", True), ("boolq", False), ("humaneval", False)])
def test_reading_of_final_answers_is_part_of_the_scores_that_rest_on_it(name, rests, monkeypatch):
    ref = BenchmarkRef(name=name, scorers=("likelihood",))
    before = benchmark_digest(ref, folder=Path())
    monkeypatch.setattr(task, "FINAL_ANSWER_VERSION", task.FINAL_ANSWER_VERSION + 1)
    assert (benchmark_digest(ref, folder=Path()) != before) is rests

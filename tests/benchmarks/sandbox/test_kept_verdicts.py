"""Verdicts that workers share."""

import json

import pytest

from sftlab.benchmarks.sandbox import Limits, Program, keep_verdicts, sandbox, tried
from sftlab.benchmarks.sandbox.kept_verdicts import KeptVerdicts, key_of

PROGRAM = Program("def one():\n    return 1\n", "assert one() == 1", ("one",))
WRONG = Program("def one():\n    return 2\n", "assert one() == 1", ("one",))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "_KEPT", KeptVerdicts())
    tried.cache_clear()
    keep_verdicts(tmp_path / "programs")
    yield tmp_path / "programs"
    tried.cache_clear()


def test_verdict_of_another_process_is_taken_and_the_program_not_run(folder, monkeypatch):
    first = tried(PROGRAM), tried(WRONG)
    assert [one.passed for one in first] == [True, False]
    tried.cache_clear()
    keep_verdicts(folder)

    class Closed:
        def run(self, program: Program) -> None:
            raise AssertionError(f"run again: {program}")

    monkeypatch.setattr(sandbox, "_SANDBOX", Closed())
    assert (tried(PROGRAM), tried(WRONG)) == first
    with pytest.raises(AssertionError, match="run again"):
        tried(Program(PROGRAM.code, "assert one() == 3", ("one",)))


def test_verdict_under_another_sandbox_has_another_key(folder):
    assert tried(PROGRAM).passed
    key = json.loads((folder / "verdicts.jsonl").read_text())[0]
    assert key == key_of(PROGRAM, sandbox.sandbox_identity()) != key_of(PROGRAM, {"version": -1})


def test_verdict_that_a_clock_gave_is_not_kept(folder, monkeypatch):
    with_less = sandbox.Sandbox(Limits(wall_seconds=0.2))
    monkeypatch.setattr(sandbox, "_SANDBOX", with_less)
    verdict = tried(Program("import time\ntime.sleep(60)\ndef one():\n    return 1\n", "assert one() == 1", ("one",)))
    with_less.close()
    assert not verdict.passed
    assert verdict.reason.startswith("stopped")
    assert not (folder / "verdicts.jsonl").exists()


def test_verdict_on_a_program_that_ended_is_not_kept(folder):
    # It may have been ended for its time of computing.
    assert not tried(Program("import os\nos._exit(0)\n", "assert one() == 1", ("one",))).passed
    assert not (folder / "verdicts.jsonl").exists()


def test_torn_line_is_no_verdict_and_later_ones_are_read(tmp_path):
    path = tmp_path / "verdicts.jsonl"
    path.write_text('["a", {"passed": tr')
    one, other = KeptVerdicts(path), KeptVerdicts(path)
    assert one.get("a") is None
    other.add("b", {"passed": True})
    assert one.get("b") == {"passed": True}
    assert one.get("a") is None

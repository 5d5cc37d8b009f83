"""Gains on a terminal."""

import polars as pl

from sftlab.cli.analyse import MOST_GAINS, print_gains


def gains(count: int) -> pl.DataFrame:
    cell = {"benchmark": "boolq", "base": "b", "main": True, "method": "all", "gain": 0.5, "ci_low": 0.25}
    cell |= {"ci_high": 0.75, "n": 1, "status": "done", "reason": None}
    return pl.DataFrame([cell | {"dataset": f"d{index:04}"} for index in range(count)])


def test_all_gains_of_a_small_study_are_shown(capsys) -> None:
    print_gains(gains(MOST_GAINS))
    said = capsys.readouterr().out
    assert sum("+0.500" in line for line in said.splitlines()) == MOST_GAINS
    assert "more gains" not in said


def test_many_gains_are_cut_and_counted(capsys) -> None:
    print_gains(gains(MOST_GAINS + 1234))
    said = capsys.readouterr().out
    assert sum("+0.500" in line for line in said.splitlines()) == MOST_GAINS
    assert "1,234 more gains" in said

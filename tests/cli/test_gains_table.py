"""Gains on a terminal."""

import polars as pl
import pytest

from sftlab.cli.analyse import FEW_GAINS, MOST_GAINS, print_gains

CELL = {
    "benchmark": "boolq",
    "base": "b",
    "main": True,
    "method": "all",
    "unit": "accuracy",
    "gain": 0.5,
    "ci_low": 0.25,
    "ci_high": 0.75,
    "n": 1,
    "verdict": "cannot tell",
    "status": "done",
    "reason": None,
}


def gains(count, **changed):
    return pl.DataFrame([CELL | changed | {"dataset": f"d{index:04}"} for index in range(count)])


def cells(**by_dataset):
    """One cell for each dataset, with what is told of it."""
    return pl.DataFrame([CELL | {"dataset": dataset} | changed for dataset, changed in by_dataset.items()])


@pytest.fixture
def printed(capsys):
    def of(frame):
        print_gains(frame)
        return capsys.readouterr().out.splitlines()

    return of


def test_all_gains_of_a_small_study_are_shown(printed) -> None:
    lines = printed(gains(MOST_GAINS))
    assert sum("+50.00" in line for line in lines) == MOST_GAINS
    assert not any("more gain" in line for line in lines)


def test_many_gains_are_cut_and_counted(printed) -> None:
    lines = printed(gains(MOST_GAINS + 1234))
    assert sum("+50.00" in line for line in lines) == MOST_GAINS
    assert any("1,234 more gains:" in line for line in lines)


def test_shares_are_points_as_in_the_sentences(printed) -> None:
    lines = printed(cells(d={"gain": 0.469}, e={"benchmark": "nq", "unit": "bits per byte"}))
    assert "+46.90  [+25.00, +75.00]  points of accuracy" in lines[1]
    assert "+0.500  [+0.250, +0.750]  bits per byte" in lines[2]


def test_sure_gains_of_one_benchmark_stand_together_as_sizes_in_other_units_say_nothing(printed) -> None:
    frame = cells(
        bits={"gain": 2.0, "benchmark": "z", "unit": "bits per byte", "verdict": "higher"},
        points={"gain": 0.5, "benchmark": "a", "verdict": "higher"},
        fewer={"gain": 0.5, "benchmark": "z", "unit": "bits per byte", "verdict": "higher"},
    )
    assert [line.split()[2] for line in printed(frame)[1:4]] == ["bits", "fewer", "points"]


def test_sure_gains_come_first_by_size_and_those_without_an_interval_last(printed) -> None:
    frame = cells(
        bare={"gain": 0.9, "ci_low": None, "ci_high": None, "verdict": "too small to tell"},
        open={"gain": 0.8},
        small={"gain": 0.1, "verdict": "higher"},
        lost={"gain": -0.7, "verdict": "lower"},
    )
    assert [line.split()[2] for line in printed(frame)[1:5]] == ["lost", "small", "open", "bare"]


def test_gains_without_an_interval_are_few_and_cells_without_a_gain_are_counted(printed) -> None:
    bare = gains(FEW_GAINS + 5, ci_low=None, ci_high=None)
    excluded = gains(3, gain=None, ci_low=None, ci_high=None, status="excluded", reason="the audit")
    lines = printed(pl.concat([bare, excluded], how="vertical_relaxed"))
    assert sum("unknown" in line for line in lines) == FEW_GAINS
    assert any("5 more gains (5 of them without an interval):" in line for line in lines)
    assert "3 cells without a gain: 3 excluded" in lines

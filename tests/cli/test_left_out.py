"""Items that no model of a base was scored on are told."""

import polars as pl

from sftlab.cli.analyse import left_out_lines


def test_items_too_long_for_a_base_are_told_once_a_benchmark() -> None:
    row = {"benchmark": "boolq", "base": "b", "dataset": "none", "main": True, "unfit": 4, "n": 16}
    others = [{**row, "main": False}, {**row, "dataset": "d"}, {**row, "base": "c", "unfit": 0, "n": 20}]
    said = left_out_lines(pl.DataFrame([row, *others]))
    assert said == ["Left out of every score on boolq: 4 of 20 items, too long for b."]

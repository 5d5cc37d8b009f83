"""What is said of data properties beyond their plain correlation: partial correlations and the strongest one."""

from dataclasses import replace

import pytest

from sftlab.analyse.frames import framed
from sftlab.report.blocks import DataTable, Panel
from sftlab.report.palette import Palette
from sftlab.report.sections.data import data
from sftlab.report.sections.material import Material

from .synthetic_analysis import empty_analysis

OUTCOME = {
    "benchmark": "gsm8k", "scorer": "likelihood", "metric": "accuracy", "main": True, "unit": "accuracy",
}  # fmt: skip


@pytest.fixture
def blocks():
    partial = [
        {
            "property": "ifd",
            "scope": "within",
            "given": "base, length",
            "correlation": 0.6,
            "ci_low": 0.2,
            "ci_high": 0.8,
        },
        {
            "property": "ifd",
            "scope": "across",
            "given": "base score",
            "correlation": 0.1,
            "ci_low": -0.2,
            "ci_high": 0.4,
        },
    ]
    strongest = [
        {"property": "ifd", "correlation": 0.7, "behind": 0.0, "n": 8, "led": 1.0, "in_set": True},
        {
            "property": "response_tokens",
            "correlation": -0.2,
            "behind": 0.5,
            "ci_low": 0.3,
            "ci_high": 0.7,
            "in_set": False,
        },
    ]
    analysis = replace(
        empty_analysis(),
        partial_correlations=framed("partial_correlations", [OUTCOME | row | {"verdict": "higher"} for row in partial]),
        strongest_property=framed("strongest_property", [OUTCOME | row for row in strongest]),
    )
    found = data(Material(analysis, {}, None, Palette((), (), ())))
    return {block.key: block for block in found.blocks if isinstance(block, Panel | DataTable)}


def test_partial_correlations_within_bases_are_drawn_and_all_are_listed(blocks):
    (variant,) = blocks["partial"].variants
    (mark,) = [trace for trace in variant.figure["data"] if trace.get("x")]
    assert mark["x"] == [0.6]
    assert "ifd" in variant.found[0]
    assert len(blocks["partial-table"].rows) == 2


def test_strongest_property_is_named_and_what_is_behind_it_drawn(blocks):
    (variant,) = blocks["strongest"].variants
    assert variant.found == ("With 95 % confidence the strongest is ifd.",)
    assert [trace["x"] for trace in variant.figure["data"]] == [[0.0], [0.5]]
    assert [row[0] for row in blocks["strongest-table"].rows] == ["yes", "no"]


def test_strongest_property_of_several_that_none_can_be_left_out_of_is_not_named():
    strongest = [
        OUTCOME | {"property": name, "correlation": 0.5, "behind": 0.0, "n": 8, "led": 0.5, "in_set": True}
        for name in ("ifd", "similarity")
    ]
    analysis = replace(empty_analysis(), strongest_property=framed("strongest_property", strongest))
    found = data(Material(analysis, {}, None, Palette((), (), ())))
    (panel,) = [block for block in found.blocks if isinstance(block, Panel) and block.key == "strongest"]
    assert panel.variants[0].found == ("Any of the 2 may be the strongest: with 95 % confidence none can be left out.",)

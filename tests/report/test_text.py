"""Numbers as text, and text that may stand in a script element."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftlab.report.text import counted, figure_label, figure_text, interval, listed, number, script_json, signed


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.4213, "0.421"), (-0.0421, "\u22120.0421"), (12.34, "12.3"), (1234.5, "1,234"), (0.0, "0"),
     (None, "\u2013"), (math.nan, "\u2013"), (1.5e-7, "1.50e\u221207")],
)  # fmt: skip
def test_number_shows_three_digits_and_never_nan(value, shown):
    assert number(value) == shown


def test_signed_writes_the_plus_and_interval_says_when_unknown():
    assert signed(0.5) == "+0.500"
    assert signed(-0.5) == "\u22120.500"
    assert interval(-0.1, 0.25) == "95 % interval \u22120.100 to +0.250"
    assert interval(None, None) == "no interval"


def test_counts_and_lists_are_in_words():
    assert counted(1, "run") == "1 run"
    assert counted(1200, "run") == "1,200 runs"
    assert listed(["a", "b", "c"], at_most=2) == "a, b and 1 more"


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_script_json_round_trips_and_cannot_close_its_element(value):
    text = script_json(value)
    assert json.loads(text) == value
    assert not set(text) & set("<>&\u2028\u2029")


def test_script_json_refuses_nan():
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json([math.nan])


def test_figure_labels_are_short_and_without_markup():
    assert figure_text("<i>&") == "&lt;i&gt;&amp;"
    assert len(figure_label("x" * 200)) <= 30
    assert figure_label("meta-llama-" + "y" * 40).startswith("meta-llama-")

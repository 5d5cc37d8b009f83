"""Which metric speaks for a benchmark, and which way is better."""

import pytest

from sftlab.analyse.metrics import main_metric, metric_named


@pytest.mark.parametrize(
    ("available", "main"),
    [
        ([("likelihood", "bits_per_byte"), ("likelihood", "accuracy")], ("likelihood", "accuracy")),
        ([("generative", "exact_match"), ("likelihood", "bits_per_byte")], ("likelihood", "bits_per_byte")),
        ([("generative", "exact_match:loose"), ("generative", "exact_match")], ("generative", "exact_match")),
        ([("generative", "exact_answer"), ("generative", "math_equal")], ("generative", "math_equal")),
        ([("generative", "squad_f1"), ("generative", "squad_exact_match")], ("generative", "squad_exact_match")),
        ([("likelihood", "bits_per_byte"), ("likelihood", "mc2")], ("likelihood", "mc2")),
        ([("generative", "f1")], ("generative", "f1")),
    ],
)
def test_main_metric_is_accuracy_then_bits_then_exact_match(available, main):
    assert main_metric(available) == main


def test_only_bits_are_better_when_lower():
    assert not metric_named("bits_per_byte").higher_is_better
    assert metric_named("accuracy").higher_is_better
    assert metric_named("f1").unit == "score"


def test_answer_filters_share_the_metric_they_filter_for():
    assert metric_named("exact_match:flexible-extract") == metric_named("exact_match")

"""Which metric speaks for a benchmark, and which way is better."""

import polars as pl
import pytest

from sftlab.analyse.item_scores import score_estimate
from sftlab.analyse.metrics import METRICS, main_metric, metric_named


@pytest.mark.parametrize(
    ("available", "main"),
    [
        ([("likelihood", "bits_per_byte"), ("likelihood", "accuracy")], ("likelihood", "accuracy")),
        ([("generative", "exact_match"), ("likelihood", "bits_per_byte")], ("likelihood", "bits_per_byte")),
        ([("generative", "exact_match:loose"), ("generative", "exact_match")], ("generative", "exact_match")),
        ([("generative", "exact_answer"), ("generative", "math_equal")], ("generative", "math_equal")),
        ([("generative", "squad_f1"), ("generative", "squad_exact_match")], ("generative", "squad_exact_match")),
        ([("likelihood", "bits_per_byte"), ("likelihood", "mc2")], ("likelihood", "mc2")),
        ([("likelihood", "bits_per_byte"), ("generative", "pass@1")], ("generative", "pass@1")),
        ([("generative", "f1")], ("generative", "f1")),
    ],
)
def test_main_metric_is_accuracy_then_bits_then_exact_match(available, main):
    assert main_metric(available) == main


def test_better_is_the_way_that_the_harness_says():
    from lm_eval.api import metrics, registry

    assert metrics
    known = {name: higher for name, higher in registry.HIGHER_IS_BETTER_REGISTRY.items() if name in METRICS}
    assert {"bits_per_byte", "word_perplexity", "byte_perplexity", "perplexity", "brier_score", "ter"} <= set(known)
    assert {name: metric_named(name).higher_is_better for name in known} == known
    assert metric_named("accuracy").higher_is_better
    assert metric_named("f1").unit == "score"


def test_answer_filters_share_the_metric_they_filter_for():
    assert metric_named("exact_match:flexible-extract") == metric_named("exact_match")


def test_interval_of_bleu_keeps_to_its_range():
    rows = pl.DataFrame({"numerator": [0.0, 0.0, 9.0], "weight": [1.0, 1.0, 1.0], "cluster": ["a", "b", None]})
    best, difference = (score_estimate(rows, name) for name in ("bleu_max", "bleu_diff"))
    assert best is not None
    assert difference is not None
    assert (best.value, best.ci_low) == (3.0, 0.0)
    assert difference.ci_low == pytest.approx(3.0 - 4.302653 * 3.0)

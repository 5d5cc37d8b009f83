"""Lengths counted by hand, and intervals against their coverage."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from sftlab.data.example import Example, Turn
from sftlab.lm.encoding import EncodingRecipe, encode_examples
from sftlab.lm.tokenizer import BaseTokenizer
from sftlab.measure.length import median, response_and_prompt_length
from sftlab.study.measures import MEASURES
from tests.lm.models import character_tokenizer

TEXTS = [("cat", "sees"), ("the dog", "runs in"), ("a", "é.")]
TEMPLATE_BYTES = len("###Question: \n###Answer: ")


@pytest.fixture
def encoded(tmp_path):
    examples = [
        Example((Turn("user", prompt), Turn("assistant", response)), 10 + place)
        for place, (prompt, response) in enumerate(TEXTS)
    ]
    tokenizer = BaseTokenizer(character_tokenizer(), context_length=64)
    return encode_examples(examples, tokenizer, recipe=EncodingRecipe(), folder=tmp_path)


def test_characters_of_prompt_and_response_are_counted(encoded):
    examples = response_and_prompt_length(encoded).examples
    assert examples["index"].to_list() == [10, 11, 12]
    assert examples["prompt_tokens"].to_list() == [len(prompt) + TEMPLATE_BYTES for prompt, _ in TEXTS]
    assert examples["response_tokens"].to_list() == [len(response) for _, response in TEXTS]
    assert examples["prompt_bytes"].to_list() == [len(prompt.encode()) + TEMPLATE_BYTES for prompt, _ in TEXTS]
    assert examples["response_bytes"].to_list() == [len(response.encode()) for _, response in TEXTS]


def test_properties_are_means_with_t_intervals_and_medians(encoded):
    properties = response_and_prompt_length(encoded).properties
    lengths = np.array([len(response) for _, response in TEXTS])
    mean = properties.row(by_predicate=pl.col("property") == "response_tokens", named=True)
    low, high = stats.t.interval(0.95, len(lengths) - 1, lengths.mean(), stats.sem(lengths))
    assert (mean["value"], mean["n"]) == (pytest.approx(lengths.mean()), 3)
    assert (mean["ci_low"], mean["ci_high"]) == (pytest.approx(low), pytest.approx(high))
    middle = properties.row(by_predicate=pl.col("property") == "response_tokens_median", named=True)
    assert middle["value"] == 4.0
    assert middle["ci_low"] is None


def test_declared_properties_are_all_there(encoded):
    assert set(MEASURES["length"].properties) <= set(response_and_prompt_length(encoded).properties["property"])


def test_no_examples_give_unknown_lengths(tmp_path):
    tokenizer = BaseTokenizer(character_tokenizer(), context_length=64)
    nothing = encode_examples([], tokenizer, recipe=EncodingRecipe(), folder=tmp_path)
    properties = response_and_prompt_length(nothing).properties
    assert properties["value"].null_count() == properties.height
    assert properties["n"].to_list() == [0] * properties.height


@pytest.mark.parametrize("n", [6, 7, 20, 101])
def test_median_interval_covers_at_least_as_often_as_it_says(n):
    generator = np.random.default_rng(n)
    found = [median(generator.lognormal(size=n)) for _ in range(3000)]
    covered = np.mean([one.ci_low <= 1.0 <= one.ci_high for one in found])
    assert covered > 0.94


@pytest.mark.parametrize("n", range(6, 60))
def test_median_interval_is_the_shortest_that_is_wide_enough(n):
    estimate = median(np.arange(1.0, n + 1))
    inner = int(estimate.ci_low) + 1
    assert estimate.ci_high == n + 1 - estimate.ci_low
    assert 2 * stats.binom.cdf(estimate.ci_low - 1, n, 0.5) <= 0.05
    assert 2 * stats.binom.cdf(inner - 1, n, 0.5) > 0.05


def test_median_of_few_has_no_interval():
    assert median(np.array([3.0, 1.0, 2.0, 5.0, 4.0])).ci_low is None

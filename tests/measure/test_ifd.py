"""The ratio of conditional to unconditional NLL against plain transformers, and passes that measures share."""

import math

import numpy as np
import polars as pl
import pytest
import torch

from sftlab.data.example import Example, Turn
from sftlab.lm.encoding import EncodingRecipe, encode_examples
from sftlab.measure.ifd import instruction_following_difficulty
from sftlab.measure.passes import Passes
from sftlab.measure.perplexity import response_perplexity
from tests.lm.models import MODELS, examples, load


@pytest.fixture(scope="module", params=MODELS)
def base(request, tmp_path_factory):
    torch.set_num_threads(1)
    return load(tmp_path_factory.mktemp("bases"), request.param)


def nats_of(base, ids: list[int], first: int) -> float:
    """Negative log-likelihood of `ids[first:]` given what is before, with transformers alone."""
    with torch.inference_mode():
        log_probabilities = base.model(torch.tensor(ids)[None]).logits[0].log_softmax(-1)
    return -sum(log_probabilities[place - 1, ids[place]].item() for place in range(first, len(ids)))


def conversation(*texts: str) -> Example:
    return Example(tuple(Turn("assistant" if place % 2 else "user", text) for place, text in enumerate(texts)), 0)


def test_ifd_equals_plain_transformers(base, tmp_path):
    given = examples(12)
    encoded = encode_examples(given, base, recipe=EncodingRecipe(), folder=tmp_path)
    measured = instruction_following_difficulty(Passes(base, encoded, 400))
    tokenizer = base.base_tokenizer
    start = tokenizer.bos_id if tokenizer.bos_id is not None else tokenizer.eos_id
    ratios, alone, tokens = [], 0.0, 0
    for begin, end in zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True):
        ids, answered = encoded.ids[begin:end].tolist(), np.flatnonzero(encoded.response[begin:end])
        first, last = int(answered[0]), int(answered[-1]) + 1
        unprompted = nats_of(base, [start, *ids[first:last]], 1)
        ratios.append(nats_of(base, ids[:last], first) / unprompted)
        alone += unprompted
        tokens += last - first
    values = dict(measured.properties.select("property", "value").iter_rows())
    assert values["ifd"] == pytest.approx(np.mean(ratios), rel=1e-4)
    assert values["unconditional_response_perplexity"] == pytest.approx(math.exp(alone / tokens), rel=1e-4)
    np.testing.assert_allclose(measured.examples["ifd"], ratios, rtol=1e-4)


def test_every_turn_of_the_assistant_stands_alone(base, tmp_path):
    texts = ("a cat", "sees", "a dog", "runs")

    def alone(*given: Example) -> list[float]:
        encoded = encode_examples(list(given), base, recipe=EncodingRecipe(), folder=tmp_path)
        return instruction_following_difficulty(Passes(base, encoded, 400)).examples["alone_log_likelihood"].to_list()

    both, first = alone(conversation(*texts), conversation(*texts[:2]))
    encoded = encode_examples([conversation(*texts)], base, recipe=EncodingRecipe(), folder=tmp_path)
    marked = np.flatnonzero(encoded.response)
    second = marked[np.flatnonzero(np.diff(marked) > 1)[0] + 1 :]
    tokenizer = base.base_tokenizer
    start = tokenizer.bos_id if tokenizer.bos_id is not None else tokenizer.eos_id
    assert both == pytest.approx(first - nats_of(base, [start, *encoded.ids[second].tolist()], 1), rel=1e-4)


def test_no_examples_give_unknown_ratios(base, tmp_path):
    encoded = encode_examples([], base, recipe=EncodingRecipe(), folder=tmp_path)
    measured = instruction_following_difficulty(Passes(base, encoded, 100))
    assert measured.properties["value"].to_list() == [None, None]


def test_measures_of_one_sample_share_the_conditional_pass(base, tmp_path):
    encoded = encode_examples(examples(10), base, recipe=EncodingRecipe(), folder=tmp_path)
    apart = instruction_following_difficulty(Passes(base, encoded, 100_000))
    calls: list[int] = []
    handle = base.model.base_model.register_forward_hook(lambda *_: calls.append(1))
    try:
        passes = Passes(base, encoded, 100_000)
        response_perplexity(passes)
        of_perplexity = len(calls)
        together = instruction_following_difficulty(passes)
        of_ifd = len(calls) - of_perplexity
        calls.clear()
        instruction_following_difficulty(Passes(base, encoded, 100_000))
    finally:
        handle.remove()
    assert len(calls) == of_perplexity + of_ifd
    assert isinstance(together.examples, pl.DataFrame)
    assert together.examples.equals(apart.examples)

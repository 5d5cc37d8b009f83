"""The noise of bfloat16 is what asking again in other batches changes; in float32 there is none to speak of."""

import math

import numpy as np
import polars as pl
import pytest

from sftlab.evaluate.engines.built_in import BuiltInEngine
from sftlab.evaluate.noise import measured_noise
from sftlab.evaluate.scoring import score_with
from sftlab.lm.likelihood import continuation_log_likelihoods, encode_pair
from tests.evaluate.conftest import benchmark, choice_items, with_varied_output
from tests.lm.models import load


@pytest.fixture(scope="module")
def mixed(folder):
    """A model in bfloat16 on a device whose rounding depends on how many tokens are computed together."""
    base = with_varied_output(load(folder, "llama", compute="bfloat16"))

    def rounded(_module, _args, kwargs, output):
        output.last_hidden_state = output.last_hidden_state * (1 + 1e-4 * kwargs["input_ids"].numel())
        return output

    base.model.base_model.register_forward_hook(rounded, with_kwargs=True)
    return base


def test_noise_is_the_root_mean_square_change_of_items_asked_alone(mixed):
    asked = benchmark(choice_items(40), "likelihood", "generative")
    engine = BuiltInEngine(mixed, 4000)
    together = score_with(engine, asked, template="plain")
    noise = measured_noise(engine, asked, together, template="plain")
    assert set(noise) == {
        "likelihood/accuracy",
        "likelihood/accuracy_per_byte",
        "likelihood/bits_per_byte",
        "generative/exact_match",
    }
    places = [0, 13, 26, 39]
    rows = together.rows["items"].filter(pl.col("metric") == "bits_per_byte")
    changes = []
    for place in places:
        item = asked.items[place]
        request = encode_pair(mixed, item.context, item.gold[0])
        alone = continuation_log_likelihoods(mixed, [request], max_batch_tokens=1).log_likelihood[0]
        bits = -alone / math.log(2) / len(item.gold[0].strip().encode())
        changes.append(rows.filter(pl.col("item") == item.item)["score"].item() - bits)
    assert noise["likelihood/bits_per_byte"] == pytest.approx(math.sqrt(np.mean(np.square(changes))))
    assert noise["likelihood/bits_per_byte"] > 1e-3


def test_no_noise_is_measured_in_float32(base):
    asked = benchmark(choice_items(12), "likelihood")
    engine = BuiltInEngine(base, 4000)
    assert measured_noise(engine, asked, score_with(engine, asked, template="plain"), template="plain") == {}


def test_two_items_suffice_and_one_does_not(mixed):
    asked = benchmark(choice_items(2), "likelihood")
    engine = BuiltInEngine(mixed, 4000)
    assert len(measured_noise(engine, asked, score_with(engine, asked, template="plain"), template="plain")) == 3
    one = benchmark(choice_items(1), "likelihood")
    assert measured_noise(engine, one, score_with(engine, one, template="plain"), template="plain") == {}

"""Order and learning rate: what they depend on, and transformers as the witness."""

import numpy as np
import pytest
import torch
from transformers import get_scheduler

from sftlab.lm.encoding import EncodingRecipe, encode_examples
from sftlab.lm.tokenizer import BaseTokenizer
from sftlab.train.order import dropout_seed, epoch_batches, longest_first_batches
from sftlab.train.schedule import LearningRate, wsd_decay_steps
from tests.lm.models import TOKENIZERS, examples


def _encoded(folder, kind: str = "byte_level", **recipe):
    base = BaseTokenizer(TOKENIZERS[kind](), context_length=256)
    return encode_examples(examples(30), base, recipe=EncodingRecipe(**recipe), folder=folder)


def test_every_epoch_sees_every_example_once(tmp_path):
    encoded = _encoded(tmp_path)
    for epoch in (1, 2):
        batches = epoch_batches(encoded, batch_size=8, seed=0, epoch=epoch)
        assert [len(batch) for batch in batches] == [8, 8, 8, 6]
        assert sorted(np.concatenate(batches)) == list(range(30))


def test_order_depends_on_seed_and_epoch_alone(tmp_path):
    encoded = _encoded(tmp_path)
    orders = {
        (seed, epoch): np.concatenate(epoch_batches(encoded, batch_size=size, seed=seed, epoch=epoch)).tolist()
        for seed in (0, 1)
        for epoch in (1, 2)
        for size in (8, 3)
    }
    assert len({tuple(order) for order in orders.values()}) == 4


def test_bases_that_drop_different_examples_see_the_others_in_the_same_order(tmp_path):
    few = _encoded(tmp_path, "character", max_tokens=75, overflow="drop")
    every = _encoded(tmp_path)
    assert 5 < len(few) < 25
    seen = [few.positions[number] for number in np.concatenate(epoch_batches(few, batch_size=8, seed=0, epoch=1))]
    others = np.concatenate(epoch_batches(every, batch_size=8, seed=0, epoch=1)).tolist()
    assert seen == [number for number in others if number in set(few.positions)]


def test_longest_first_is_longest_first(tmp_path):
    encoded = _encoded(tmp_path)
    lengths = encoded.lengths[np.concatenate(longest_first_batches(encoded, batch_size=8))]
    assert (np.diff(lengths) <= 0).all()


def test_dropout_seeds_differ_by_seed_and_step():
    assert len({dropout_seed(seed, step) for seed in range(5) for step in range(50)}) == 250


@pytest.mark.parametrize("warmup", [0, 1, 5])
@pytest.mark.parametrize(
    ("schedule", "theirs"), [("constant", "constant_with_warmup"), ("cosine", "cosine"), ("linear", "linear")]
)
def test_rates_are_those_of_transformers(schedule, theirs, warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    reference = get_scheduler(theirs, optimizer, num_warmup_steps=warmup, num_training_steps=20)
    rate = LearningRate(0.3, schedule, warmup, 20)
    for step in range(1, 21):
        assert rate.at(step) == pytest.approx(reference.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        reference.step()


@pytest.mark.parametrize("warmup", [0, 4])
@pytest.mark.parametrize("decay", [1, 6, None])
def test_warmup_stable_decay_is_that_of_transformers(decay, warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    options = {"num_decay_steps": wsd_decay_steps(decay, 20, warmup), "decay_type": "linear"}
    reference = get_scheduler(
        "warmup_stable_decay",
        optimizer,
        num_warmup_steps=warmup,
        num_training_steps=20,
        scheduler_specific_kwargs=options,
    )
    rate = LearningRate(0.3, "wsd", warmup, 20, decay_steps=decay)
    for step in range(1, 21):
        assert rate.at(step) == pytest.approx(reference.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        reference.step()


def test_decay_is_a_tenth_of_the_steps_and_never_reaches_into_the_warm_up():
    assert wsd_decay_steps(None, 100, 0) == 10
    assert wsd_decay_steps(None, 1, 0) == 1
    assert wsd_decay_steps(50, 60, 20) == 40

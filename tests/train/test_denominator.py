"""What is learned, and what its loss is divided by, whatever the lengths, masks and passes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sftlab.lm.base import LoadedBase
from sftlab.lm.encoding import EncodedExamples, EncodingRecipe, encode_examples
from sftlab.lm.token_loss import padded_batch
from sftlab.lm.tokenizer import BaseTokenizer
from tests.lm.models import TOKENIZERS, load
from tests.lm.token_arrays import masks, token_arrays
from tests.train.steps import Step, assert_same_step, step_over
from tests.train.test_against_trl import conversations

KNOWN = {kind: BaseTokenizer(make(), context_length=10_000) for kind, make in TOKENIZERS.items()}
TRIED = settings(max_examples=20, deadline=None)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> LoadedBase:
    return load(tmp_path_factory.mktemp("bases"), "llama")


@TRIED
@given(masks(), st.integers(1, 100))
def test_loss_is_the_sum_over_the_learned_tokens_by_their_number(base, drawn, micro_tokens):
    encoded = token_arrays(drawn)
    total, count = 0.0, 0
    for start, end, mask in zip(encoded.offsets[:-1], encoded.offsets[1:], drawn, strict=True):
        ids = torch.tensor(encoded.ids[start:end].astype(np.int64))
        with torch.no_grad():
            log_probabilities = base.model(input_ids=ids[None]).logits[0].double().log_softmax(-1)
        for place in np.flatnonzero(mask):
            total -= float(log_probabilities[place - 1, ids[place]])
            count += 1
    loss = step_over(base, encoded, micro_tokens=micro_tokens).loss
    assert loss == pytest.approx(total / count, rel=1e-5)


@TRIED
@given(masks(), st.integers(1, 60))
def test_sequence_mean_is_the_mean_over_examples_of_their_own_means(base, drawn, micro_tokens):
    encoded = token_arrays(drawn)
    alone = [step_over(base, encoded, np.array([number])) for number in range(len(encoded))]
    gradients = {name: torch.stack([step.gradients[name] for step in alone]).mean(0) for name in alone[0].gradients}
    expected = Step(float(np.mean([step.loss for step in alone])), gradients)
    assert_same_step(step_over(base, encoded, micro_tokens=micro_tokens, reduction="sequence"), expected)


@TRIED
@given(masks(), st.integers(1, 60), st.randoms(), st.sampled_from(["token", "sequence"]))
def test_step_does_not_depend_on_passes_nor_on_order(base, drawn, micro_tokens, generator, reduction):
    encoded = token_arrays(drawn)
    order = list(range(len(encoded)))
    generator.shuffle(order)
    whole = step_over(base, encoded, reduction=reduction)
    parted = step_over(base, encoded, np.array(order), micro_tokens=micro_tokens, reduction=reduction)
    assert_same_step(parted, whole)


@TRIED
@given(masks(most_examples=4), st.integers(2, 3), st.integers(1, 60))
def test_step_is_a_mean_so_that_repeating_every_example_changes_nothing(base, drawn, times, micro_tokens):
    encoded = token_arrays(drawn)
    repeated = np.tile(np.arange(len(encoded)), times)
    assert_same_step(step_over(base, encoded, repeated, micro_tokens=micro_tokens), step_over(base, encoded))


@TRIED
@given(masks(most_examples=5), st.data())
def test_tokens_that_are_not_learned_count_as_context_alone(base, drawn, data):
    """What follows the last learned token has no influence at all."""
    encoded = token_arrays(drawn)
    longer = token_arrays([mask + [False] * data.draw(st.integers(0, 9)) for mask in drawn], seed=1)
    ids = longer.ids.copy()
    for number, mask in enumerate(drawn):
        start = longer.offsets[number]
        ids[start : start + len(mask)] = encoded.ids[encoded.offsets[number] : encoded.offsets[number + 1]]
    longer = EncodedExamples(**{**vars(longer), "ids": ids})
    assert_same_step(step_over(base, longer, micro_tokens=40), step_over(base, encoded))


@given(masks(most_examples=12, longest=40), st.integers(0, 40))
def test_labels_are_the_learned_tokens_and_never_padding(base, drawn, pad_id):
    encoded = token_arrays(drawn)
    base.pad_id = pad_id
    batch = padded_batch(encoded, range(len(encoded)), base)
    assert batch.labels.tolist() == encoded.ids[encoded.learned].tolist()
    assert np.bincount(batch.examples, minlength=len(encoded)).tolist() == encoded.learned_tokens.tolist()
    width = batch.ids.shape[1]
    for label, row, before in zip(
        *(part.tolist() for part in (batch.labels, batch.examples, batch.predicted_from)), strict=True
    ):
        assert before // width == row
        place = before % width + 1
        assert drawn[row][place]
        assert label == encoded.ids[encoded.offsets[row] + place]


def _letters(text: str) -> str:
    """The character tokenizer decodes with blanks between its tokens."""
    return text.replace(" ", "")


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(st.integers(0, 2**20), st.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_every_answer_of_a_conversation_is_learned_with_one_end_each(kind, tmp_path_factory, seed, turns):
    folder = tmp_path_factory.getbasetemp() / "answers"
    tokenizer = KNOWN[kind]
    made = conversations(4, turns, seed=seed)
    encoded = encode_examples(made, tokenizer, recipe=EncodingRecipe(max_tokens=10_000), folder=folder / "tokens")
    for number, example in enumerate(made):
        span = slice(encoded.offsets[number], encoded.offsets[number + 1])
        ids, learned = encoded.ids[span], encoded.learned[span]
        said = [turn.content for turn in example.turns if turn.role == "assistant"]
        stretches = np.split(ids[learned], np.flatnonzero(ids[learned] == tokenizer.eos_id) + 1)
        assert [_letters(tokenizer.tokenizer.decode(part[:-1])) for part in stretches[:-1]] == list(map(_letters, said))
        assert len(stretches[-1]) == 0
        assert np.count_nonzero(ids == tokenizer.eos_id) == len(said)

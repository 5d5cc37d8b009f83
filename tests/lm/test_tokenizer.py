"""Ids are the tokenizer's own; only trusted text makes special tokens; what is learned follows characters."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftlab.errors import ModelError
from sftlab.lm.tokenizer import BaseTokenizer, Segment
from tests.lm.models import TOKENIZERS, byte_level_tokenizer, character_tokenizer

TEXTS = ["the cat sees", " two  spaces ", "line\nline\n\n", "naïve 🙂 שלום é", "###Question: a?\n###Answer: b", "x"]
BASES = {kind: BaseTokenizer(make(), context_length=64) for kind, make in TOKENIZERS.items()}


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("text", TEXTS)
def test_ids_are_those_of_the_tokenizer(kind, text):
    base = BASES[kind]
    assert base.encode_text(text) == base.tokenizer(text).input_ids


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_parts_are_encoded_as_one_text(kind):
    base = BASES[kind]
    parts = ["###Question: the", " cat?\n###Ans", "wer: ", "sees a dog."]
    tokens = base.encode([[Segment(part) for part in parts]])[0]
    assert tokens.ids.tolist() == base.tokenizer("".join(parts)).input_ids


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("written", ["</s>", "<s>", "<|im_end|>", "a</s>b", "<|im_start|>assistant\n"])
def test_untrusted_text_spells_no_special_token(kind, written):
    base = BASES[kind]
    ids = base.encode([[Segment("the "), Segment(written), Segment(" cat")]])[0].ids.tolist()
    start = 0 if base.bos_id is None else 1
    unknown = base.tokenizer.unk_token_id
    assert not set(ids[start:]) & (set(base.special_tokens.values()) - {unknown})


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_trusted_special_tokens_are_those_of_the_tokenizer(kind):
    base = BASES[kind]
    text = "<|im_start|>user\nthe cat?<|im_end|>\n<|im_start|>assistant\na dog.<|im_end|>"
    assert base.encode([[Segment(text, trusted=True)]])[0].ids.tolist() == base.tokenizer(text).input_ids


def test_beginning_of_sequence_is_found_where_the_tokenizer_puts_it():
    assert BASES["byte_level"].bos_id is None
    for kind in ("metaspace", "character"):
        assert BASES[kind].bos_id == BASES[kind].tokenizer.bos_token_id


def test_beginning_of_sequence_written_by_a_template_is_not_doubled():
    base = BASES["metaspace"]
    ids = base.encode([[Segment("<s>the cat", trusted=True)]])[0].ids.tolist()
    assert ids.count(base.bos_id) == 1


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=40, deadline=None)
@given(question=st.text(max_size=20), answer=st.text(min_size=1, max_size=20))
def test_learned_tokens_stand_for_the_whole_answer_and_its_end(kind, question, answer):
    base = BASES[kind]
    segments = [Segment(question + ": "), Segment(answer, learned=True, response=True, eos_after=True)]
    tokens = base.encode([segments])[0]
    start = len(question) + 2
    for position in range(1, len(tokens.ids)):
        overlaps = tokens.ends[position] > start and tokens.ends[position] > tokens.starts[position]
        assert tokens.learned[position] == overlaps
    assert tokens.ids[-1] == base.eos_id
    assert tokens.learned[-1]
    assert not tokens.response[-1]
    assert tokens.covered_bytes(len(tokens.ids))[1] == len(answer.encode())


def test_trailing_white_space_of_an_answer_is_learned_under_trimmed_offsets():
    base = BASES["byte_level"]
    tokens = base.encode([[Segment("a:"), Segment(" b \n \n", learned=True, response=True)]])[0]
    assert tokens.learned[-1]
    assert tokens.covered_bytes(len(tokens.ids)) == (2, 6)


def test_first_token_of_a_text_is_not_learned():
    tokens = BASES["byte_level"].encode([[Segment("the cat", learned=True, response=True)]])[0]
    assert tokens.learned.tolist() == [False, True]
    assert tokens.covered_bytes(2) == (0, 4)


def test_digest_differs_between_tokenizers_and_not_between_loads():
    assert len({base.digest for base in BASES.values()}) == len(BASES)
    again = BaseTokenizer(byte_level_tokenizer(), context_length=64)
    assert again.digest == BASES["byte_level"].digest


def test_tokenizer_without_end_of_sequence_is_refused():
    tokenizer = character_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="end-of-sequence"):
        BaseTokenizer(tokenizer, context_length=64)
    assert BaseTokenizer(tokenizer, context_length=64, eos_id=2).eos_id == 2

"""Token arrays: boundary, overflow, bytes, what is reported, and what is kept on disk."""

import numpy as np
import pytest

from sftlab.data.example import Example, Turn
from sftlab.lm.encoding import EncodingRecipe, encode_examples
from sftlab.lm.tokenizer import BaseTokenizer
from tests.lm.models import TOKENIZERS, examples

BASES = {kind: BaseTokenizer(make(), context_length=512) for kind, make in TOKENIZERS.items()}


def _pair(question: str, answer: str, index: int = 0) -> Example:
    return Example((Turn("user", question), Turn("assistant", answer)), index)


def _common_prefix(one: list[int], other: list[int]) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_boundary_is_the_longest_common_prefix_of_prompt_and_whole(kind, tmp_path):
    tokenizer = BASES[kind].tokenizer
    given = examples(40)
    encoded = encode_examples(given, BASES[kind], recipe=EncodingRecipe(), folder=tmp_path)
    for number, example in enumerate(given):
        question, answer = (turn.content for turn in example.turns)
        prompt = f"###Question: {question}\n###Answer: "
        whole = tokenizer(prompt + answer).input_ids
        boundary = _common_prefix(tokenizer(prompt).input_ids, whole)
        span = slice(encoded.offsets[number], encoded.offsets[number + 1])
        assert encoded.ids[span].tolist() == [*whole, tokenizer.eos_token_id]
        assert encoded.learned[span].tolist() == [place >= boundary for place in range(len(whole) + 1)]
        assert encoded.response_bytes[number] == len(answer.encode())
        assert encoded.response_tokens[number] == len(whole) - boundary
        assert encoded.prompt_tokens[number] == boundary - (BASES[kind].bos_id is not None)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_exactly_one_beginning_and_a_learned_end(kind, tmp_path):
    base = BASES[kind]
    encoded = encode_examples(examples(20), base, recipe=EncodingRecipe(), folder=tmp_path)
    for start, end in zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True):
        ids = encoded.ids[start:end].tolist()
        assert ids.count(base.bos_id) == (base.bos_id is not None)
        assert ids.count(base.eos_id) == 1
        assert ids[-1] == base.eos_id
        assert encoded.learned[end - 1]
        assert not encoded.learned[start]


def test_truncated_examples_are_counted_and_their_bytes_are_of_what_is_left(tmp_path):
    base = BASES["character"]
    recipe = EncodingRecipe(max_tokens=40)
    given = [_pair("a?", "the cat sees " * 9, 3), _pair("a?", "dog", 4)]
    encoded = encode_examples(given, base, recipe=recipe, folder=tmp_path)
    assert encoded.truncated == 1
    assert encoded.lengths.tolist()[0] == 40
    prompt = len("###Question: a?\n###Answer: ")
    assert encoded.response_bytes.tolist() == [40 - 1 - prompt, 3]
    assert encoded.prompt_bytes.tolist() == [prompt, prompt]
    assert encoded.source_rows.tolist() == [3, 4]


def test_overflow_drop_reports_every_dropped_example(tmp_path):
    given = [_pair("a?", "the cat sees " * 9, 30), _pair("a?", "dog", 31), _pair("who " * 20, "dog", 32)]
    encoded = encode_examples(
        given, BASES["character"], recipe=EncodingRecipe(max_tokens=40, overflow="drop"), folder=tmp_path
    )
    assert encoded.positions.tolist() == [1]
    assert [(item.position, item.index) for item in encoded.dropped] == [(0, 30), (2, 32)]
    assert encoded.dropped[0].reason == f"{1 + 27 + 117 + 1} tokens, more than 40"
    assert encoded.num_given == 3


def test_example_whose_answer_is_cut_off_is_dropped_with_a_reason(tmp_path):
    given = [_pair("who " * 20, "dog", 5), _pair("a?", "dog", 6)]
    encoded = encode_examples(given, BASES["character"], recipe=EncodingRecipe(max_tokens=40), folder=tmp_path)
    assert encoded.source_rows.tolist() == [6]
    assert encoded.dropped[0].reason == "none of its first 40 tokens is learned"


def test_context_length_limits_the_maximum(tmp_path):
    base = BaseTokenizer(BASES["character"].tokenizer, context_length=33)
    encoded = encode_examples([_pair("a?", "dog " * 9)], base, recipe=EncodingRecipe(max_tokens=99), folder=tmp_path)
    assert encoded.lengths.tolist() == [33]


def test_loss_on_all_learns_all_but_the_first_token(tmp_path):
    encoded = encode_examples(
        [_pair("a?", "dog")], BASES["metaspace"], recipe=EncodingRecipe(loss_on="all"), folder=tmp_path
    )
    assert encoded.learned.tolist() == [False] + [True] * (len(encoded.ids) - 1)
    assert encoded.response_bytes.tolist() == [3]


def test_arrays_are_made_once_and_read_back_the_same(tmp_path):
    given = examples(5)
    first = encode_examples(given, BASES["byte_level"], recipe=EncodingRecipe(), folder=tmp_path)
    stamp = (tmp_path / first.digest / "ids.npy").stat().st_mtime_ns
    second = encode_examples(given, BASES["byte_level"], recipe=EncodingRecipe(), folder=tmp_path)
    assert (tmp_path / first.digest / "ids.npy").stat().st_mtime_ns == stamp
    assert np.array_equal(first.ids, second.ids)
    assert isinstance(second.ids, np.memmap)
    assert [path.name for path in tmp_path.iterdir()] == [first.digest]


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": EncodingRecipe(max_tokens=17)},
        {"recipe": EncodingRecipe(loss_on="all")},
        {"recipe": EncodingRecipe(template="alpaca")},
        {"base": BASES["metaspace"]},
        {"examples": examples(5, seed=1)},
    ],
)
def test_digest_changes_with_what_the_arrays_depend_on(change, tmp_path):
    usual = {"examples": examples(5), "base": BASES["byte_level"], "recipe": EncodingRecipe()}

    def made(values) -> str:
        values = dict(values)
        return encode_examples(values["examples"], values["base"], recipe=values["recipe"], folder=tmp_path).digest

    assert made(usual) != made({**usual, **change})


def test_limit_beyond_the_context_is_the_same_arrays(tmp_path):
    one, other = (
        encode_examples(
            examples(5), BASES["byte_level"], recipe=EncodingRecipe(max_tokens=maximum), folder=tmp_path
        ).digest
        for maximum in (512, 9000)
    )
    assert one == other


def test_no_examples_give_empty_arrays(tmp_path):
    encoded = encode_examples([], BASES["byte_level"], recipe=EncodingRecipe(), folder=tmp_path)
    assert len(encoded) == 0
    assert encoded.lengths.tolist() == []


def test_half_written_arrays_are_made_again(tmp_path):
    given = examples(5)
    first = encode_examples(given, BASES["byte_level"], recipe=EncodingRecipe(), folder=tmp_path)
    expected = first.ids.tolist()
    (tmp_path / first.digest / "about.json").unlink()
    again = encode_examples(given, BASES["byte_level"], recipe=EncodingRecipe(), folder=tmp_path)
    assert again.ids.tolist() == expected


def test_real_data_keeps_every_byte_of_short_answers(shared, tmp_path):
    import json

    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(shared / "weights" / "stories260K")
    base = BaseTokenizer(tokenizer, context_length=512)
    rows = json.loads((shared / "data" / "sft" / "lima.json").read_text())[:200]
    given = [_pair(row["instruction"], row["output"], number) for number, row in enumerate(rows) if row["output"]]
    encoded = encode_examples(given, base, recipe=EncodingRecipe(), folder=tmp_path)
    assert len(encoded) + len(encoded.dropped) == len(given)
    ends = encoded.ids[encoded.offsets[1:] - 1] == base.eos_id
    assert ends.sum() == len(encoded) - encoded.truncated
    for number in np.flatnonzero(ends):
        answer = given[encoded.positions[number]].turns[1].content
        assert encoded.response_bytes[number] == len(answer.encode())

"""Scores of items, against brute force and by hand."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from sftlab.analyse.schemas import ITEMS
from sftlab.benchmarks.item import FilteredAnswer, Item, Reading
from sftlab.data.example import Example, Turn
from sftlab.errors import ModelError
from sftlab.evaluate.item_rows import likelihood_rows
from sftlab.evaluate.questions import MIN_NEW_TOKENS, Question, questions
from sftlab.evaluate.scoring import ScoreOptions, score_benchmark
from sftlab.lm.encoding import EncodingRecipe, encode_examples
from sftlab.lm.templates import QUESTION_ANSWER
from tests.evaluate.conftest import answer_items, benchmark, choice_items, first_letter

PLAIN = ScoreOptions(template="plain", max_batch_tokens=400)


def log_likelihood(base, context: str, continuation: str) -> float:
    """By the definition: the whole text at once, then what the continuation adds."""
    ids = torch.tensor(base.base_tokenizer.encode_text(context + continuation))
    start = len(base.base_tokenizer.encode_text(context))
    with torch.inference_mode():
        log_probabilities = base.model(ids[None]).logits[0].double().log_softmax(-1)
    return float(sum(log_probabilities[place - 1, ids[place]] for place in range(start, len(ids))))


def of_metric(frame: pl.DataFrame, metric: str) -> pl.DataFrame:
    return frame.filter(pl.col("metric") == metric)


def test_choices_are_scored_by_their_log_likelihoods(base):
    items = choice_items(12)
    scored = score_benchmark(base, benchmark(items, "likelihood"), options=PLAIN)
    frame = scored.rows["items"]
    expected = np.array([[log_likelihood(base, item.context, choice) for choice in item.choices] for item in items])
    num_bytes = np.array([[len(choice.strip().encode()) for choice in item.choices] for item in items])
    gold = np.array([item.gold_choice for item in items])
    accuracy, per_byte, bits = (
        of_metric(frame, metric) for metric in ("accuracy", "accuracy_per_byte", "bits_per_byte")
    )
    every = np.arange(len(items))
    np.testing.assert_allclose(accuracy["log_likelihood"], expected[every, gold], rtol=1e-5)
    assert accuracy["score"].to_list() == (expected.argmax(1) == gold).tolist()
    assert per_byte["score"].to_list() == ((expected / num_bytes).argmax(1) == gold).tolist()
    assert accuracy["answer"].to_list() == [
        item.choices[k].strip() for item, k in zip(items, expected.argmax(1), strict=True)
    ]
    np.testing.assert_allclose(bits["score"], -expected[every, gold] / num_bytes[every, gold] / math.log(2), rtol=1e-5)
    assert bits["num_bytes"].to_list() == num_bytes[every, gold].tolist()
    assert frame["stratum"].to_list() == [item.stratum for item in items for _ in range(3)]
    assert 0 < accuracy["score"].sum() < len(items)


def test_rows_fill_the_items_table(base):
    scored = score_benchmark(base, benchmark(choice_items(2), "likelihood", "generative"), options=PLAIN)
    frame = scored.rows["items"]
    assert dict(frame.schema) == {name: ITEMS[name] for name in frame.columns}
    assert set(ITEMS) - set(frame.columns) == {"checkpoint", "benchmark"}
    assert not frame.select("item", "scorer", "metric").is_duplicated().any()


def test_a_benchmark_without_choices_gives_bits_per_byte_of_its_first_gold_answer(base):
    item = Item("0", "the cat", (" sees the dog", " a"))
    frame = score_benchmark(base, benchmark([item], "likelihood"), options=PLAIN).rows["items"]
    expected = -log_likelihood(base, "the cat", " sees the dog") / len("sees the dog") / math.log(2)
    assert frame["metric"].to_list() == ["bits_per_byte"]
    assert frame["score"].to_list() == pytest.approx([expected], rel=1e-5)


def test_bytes_are_counted_in_utf_8_and_characters_are_not():
    # By characters the second choice would win (-4 / 2 against -3 / 1); by bytes the first does (-3 / 3 = -1 > -4 / 2).
    item = Item("0", "?", (" 日",), (" 日", " ab"), 0)
    question = Question(item, (), ("日", "ab"), np.empty(0, np.int32))
    by_metric = {row["metric"]: row for row in likelihood_rows(question, np.array([-3.0, -4.0]))}
    assert by_metric["accuracy_per_byte"]["score"] == 1.0
    assert by_metric["bits_per_byte"]["score"] == pytest.approx(1 / math.log(2))


def test_the_first_of_equal_choices_is_chosen():
    question = Question(Item("0", "?", (" b",), (" a", " b"), 1), (), ("a", "b"), np.empty(0, np.int32))
    rows = {row["metric"]: row for row in likelihood_rows(question, np.array([-1.0, -1.0]))}
    assert rows["accuracy"]["score"] == 0.0


@pytest.mark.parametrize("scorer", ["likelihood", "generative"])
def test_scores_do_not_depend_on_batches(base, scorer):
    asked = benchmark(choice_items(10), scorer)
    frames = [
        score_benchmark(base, asked, options=ScoreOptions("plain", tokens)).rows["items"] for tokens in (1, 10_000)
    ]
    for column in frames[0].columns:
        one, other = (frame[column] for frame in frames)
        if one.dtype == pl.Float64():
            np.testing.assert_allclose(one.to_numpy(), other.to_numpy(), rtol=1e-5, atol=1e-5)
        else:
            assert one.equals(other)


def test_generated_answers_are_read_item_by_item(base):
    seen: dict[str, str] = {}

    def read(item: Item, text: str) -> Reading:
        seen[item.item] = text
        return first_letter(item, text)

    items = answer_items(8)
    scored = score_benchmark(base, benchmark(items, "generative", read=read), options=PLAIN)
    frame = scored.rows["items"]
    assert list(seen) == [item.item for item in items]
    readings = [first_letter(item, seen[item.item]) for item in items]
    assert frame["metric"].to_list() == ["exact_match"] * len(items)
    assert frame["score"].to_list() == [reading.score for reading in readings]
    assert frame["answer"].to_list() == [reading.answer for reading in readings]
    assert frame["parsed"].to_list() == [reading.parsed for reading in readings]
    assert frame["log_likelihood"].null_count() == len(items)


def test_answers_that_cannot_be_read_are_counted(base):
    asked = benchmark(
        answer_items(6), "likelihood", "generative", read=lambda item, _: Reading(0.0, "", int(item.item) % 3 == 0)
    )
    assert score_benchmark(base, asked, options=PLAIN).result["unparsed"] == {"likelihood": 0, "generative": 4}


def test_what_other_filters_read_is_kept_under_their_names(base):
    def read(item: Item, _: str) -> Reading:
        return Reading(0.0, "", False, (FilteredAnswer("flexible", 1.0, item.item, True),))

    too_long = Item("long", "the cat " * 200, (" a",))
    asked = benchmark([*answer_items(2), too_long], "generative", read=read)
    frame = score_benchmark(base, asked, options=PLAIN).rows["items"]
    other = of_metric(frame, "exact_match:flexible")
    assert other["score"].to_list() == [1.0, 1.0, None]
    assert other["answer"].to_list() == ["0", "1", None]
    assert of_metric(frame, "exact_match")["score"].to_list() == [0.0, 0.0, None]


def repeated(base, num_tokens: int) -> str:
    """A text of at least so many tokens, or two more."""
    text = "a"
    while len(base.base_tokenizer.encode_text(text)) < num_tokens:
        text += " a"
    return text


def test_items_that_do_not_fit_have_a_status_and_no_score(base):
    long = Item("long", repeated(base, base.context_length + 2), (" a",), (" a", " b"), 0, stratum="s")
    asked = benchmark([*choice_items(2), long], "likelihood", "generative")
    scored = score_benchmark(base, asked, options=PLAIN)
    unfit = scored.rows["items"].filter(pl.col("item") == "long")
    assert unfit["status"].to_list() == ["unfit"] * 4
    assert unfit["metric"].to_list() == ["accuracy", "accuracy_per_byte", "bits_per_byte", "exact_match"]
    for column in ("score", "log_likelihood", "num_bytes", "answer", "parsed"):
        assert unfit[column].null_count() == 4
    assert scored.result["status"] == "done"
    assert scored.result["unfit_items"] == 1
    assert scored.rows["items"].filter(pl.col("item") != "long")["status"].unique().to_list() == ["done"]


def test_an_item_whose_inputs_just_fit_is_scored(base, monkeypatch):
    item = Item("0", "the cat sees", (" a dog.",))
    (question,), _ = questions(base, benchmark([item], "likelihood"), "plain")
    needed = question.continuations[0].num_inputs
    for room, status in ((needed, "done"), (needed - 1, "unfit")):
        monkeypatch.setattr(base, "context_length", room)
        assert score_benchmark(base, benchmark([item], "likelihood"), options=PLAIN).result["status"] == status


def test_one_choice_too_long_makes_the_item_unfit(base):
    long = " " + repeated(base, base.context_length + 2)
    item = Item("0", "the", (" a",), (" a", long), 0)
    scored = score_benchmark(base, benchmark([item], "likelihood"), options=PLAIN)
    assert scored.result["status"] == "unfit"


def test_where_nothing_fits_the_result_says_so(base):
    items = [Item(str(number), repeated(base, base.context_length + 2), (" a",)) for number in range(2)]
    scored = score_benchmark(base, benchmark(items, "likelihood", "generative"), options=PLAIN)
    assert scored.result["status"] == "unfit"
    assert scored.result["unfit_items"] == 2
    assert f"do not fit the context of {base.context_length}" in scored.result["reason"]
    assert scored.rows["items"].height == 4


def test_answers_without_text_cannot_be_scored(base):
    item = Item("0", "the", (" a",), (" a", " "), 0)
    scored = score_benchmark(base, benchmark([item], "likelihood"), options=PLAIN)
    assert scored.result["status"] == "unfit"
    assert "no text" in scored.result["reason"]


def test_a_benchmark_without_items_is_unfit(base):
    scored = score_benchmark(base, benchmark([], "likelihood", "generative"), options=PLAIN)
    assert scored.result["status"] == "unfit"
    assert scored.rows["items"].height == 0


@pytest.mark.parametrize(
    ("max_new_tokens", "room", "fits", "capped"),
    [
        (8, 8, True, 0),
        (8, 7, False, 0),
        (200, 200, True, 0),
        (200, MIN_NEW_TOKENS, True, 1),
        (200, MIN_NEW_TOKENS - 1, False, 0),
    ],
)
def test_a_prompt_must_leave_room_for_an_answer(base, monkeypatch, max_new_tokens, room, fits, capped):
    item = answer_items(1)[0]
    monkeypatch.setattr(base, "context_length", len(base.base_tokenizer.encode_text(item.context)) + room)
    asked = benchmark([item], "generative", max_new_tokens=max_new_tokens)
    result = score_benchmark(base, asked, options=PLAIN).result
    assert result["status"] == ("done" if fits else "unfit")
    assert result["capped_items"] == capped


def test_counts_of_the_result(base):
    items = choice_items(3)
    shares: list[float] = []
    asked = benchmark(items, "likelihood", "generative")
    result = score_benchmark(base, asked, options=ScoreOptions("plain", 100, shares.append)).result
    lengths = [len(base.base_tokenizer.encode_text(item.context + choice)) for item in items for choice in item.choices]
    prompts = [len(base.base_tokenizer.encode_text(item.context)) for item in items]
    assert result["items"] == 3
    assert result["requests"] == 9 + 3
    assert result["tokens"] == sum(lengths) + sum(prompts)
    assert result["wall_seconds"] > 0
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_under_a_template_an_answer_is_scored_where_training_learns_it(base, tmp_path):
    """The labels of training on (context, gold) are the continuation, but for the end-of-sequence token."""
    item = Item("0", "where is the cat?", (" in the house",))
    (question,), _ = questions(base, benchmark([item], "likelihood"), "question_answer")
    example = Example((Turn("user", item.context), Turn("assistant", "in the house")), 0)
    encoded = encode_examples([example], base, recipe=EncodingRecipe(template="question_answer"), folder=tmp_path)
    (request,) = question.continuations
    assert [*request.context_ids, *request.continuation_ids, base.eos_id] == encoded.ids.tolist()
    assert [*request.continuation_ids, base.eos_id] == encoded.ids[encoded.learned].tolist()


def test_a_generation_prompt_is_what_training_has_before_the_response(chat_base, tmp_path):
    item = Item("0", "where is the cat?", (" in the house",))
    (question,), stops = questions(chat_base, benchmark([item], "generative", stops=("\n\n",)), "auto")
    example = Example((Turn("user", item.context), Turn("assistant", "in the house")), 0)
    encoded = encode_examples([example], chat_base, recipe=EncodingRecipe(), folder=tmp_path)
    first = int(np.flatnonzero(encoded.learned)[0])
    assert question.prompt_ids.tolist() == encoded.ids[:first].tolist()
    assert stops == ("\n\n", "<|im_end|>")


def test_one_benchmark_asked_in_two_templates_gives_two_scores(base):
    asked = benchmark(answer_items(4), "likelihood")
    plain, template = (
        score_benchmark(base, asked, options=ScoreOptions(name, 400)).rows["items"]["log_likelihood"].to_list()
        for name in ("plain", QUESTION_ANSWER)
    )
    assert plain != pytest.approx(template, rel=1e-3)


def test_equal_digests_of_different_items_are_not_mixed_up(base):
    one, other = (
        score_benchmark(base, benchmark(items, "likelihood"), options=PLAIN).rows["items"]["log_likelihood"]
        for items in (answer_items(4), answer_items(8)[4:])
    )
    assert one.to_list() != pytest.approx(other.to_list(), rel=1e-3)


def test_items_are_made_into_ids_once_for_a_base(base):
    asked = benchmark(answer_items(3), "likelihood")
    first, _ = questions(base, asked, "plain")
    again, _ = questions(base, replace(asked, stops=("x",)), "plain")
    assert first is again


def test_a_model_that_has_diverged_is_an_error(base):
    head = base.model.get_output_embeddings().weight
    kept = head.detach().clone()
    try:
        with torch.no_grad():
            head.fill_(math.nan)
        with pytest.raises(ModelError, match="not finite"):
            score_benchmark(base, benchmark(answer_items(2), "likelihood"), options=PLAIN)
    finally:
        with torch.no_grad():
            head.copy_(kept)

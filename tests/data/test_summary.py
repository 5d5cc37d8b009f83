"""What a summary counts, against counts made by hand."""

from dataclasses import replace

import pytest

from sftlab.data.example import BrokenRow, Dataset, Example, Turn
from sftlab.data.summary import Spread, TokenLengths, spread, summarise


def asked(question: str, answer: str) -> tuple[Turn, ...]:
    return (Turn("user", question), Turn("assistant", answer))


def dataset(*conversations: tuple[Turn, ...], broken: tuple[BrokenRow, ...] = ()) -> Dataset:
    return Dataset(
        "messages", tuple(Example(turns, place) for place, turns in enumerate(conversations)), broken, "mine"
    )


def counts(*conversations: tuple[Turn, ...], **options) -> dict[str, int]:
    return {finding.kind: finding.count for finding in summarise(dataset(*conversations), **options).findings}


def test_lengths_are_of_utf8_bytes():
    summary = summarise(dataset(asked("é", "four"), asked("👩", "seven..")))
    assert summary.prompt_bytes == Spread(n=2, median=3.0, mean=3.0, maximum=4, total=6)
    assert summary.response_bytes == Spread(n=2, median=5.5, mean=5.5, maximum=7, total=11)
    assert (summary.num_rows, summary.num_usable, summary.shape, summary.tokens) == (2, 2, "messages", None)


def test_turns_and_systems_are_counted():
    long = (*asked("q1", "a1 is long"), *asked("q2", "a2 is long"))
    summary = summarise(dataset(asked("q", "long enough"), long, (Turn("system", "s"), *asked("q9", "also long"))))
    assert (summary.num_multi_turn, summary.num_with_system) == (1, 1)
    assert summary.prompt_bytes.total == 1 + 4 + 3


def test_clean_data_have_no_findings():
    assert counts(asked("What is red?", "A colour."), asked("What is seven?", "A number.")) == {}


def test_duplicates_are_counted_from_the_second_on():
    first, other = asked("What?", "A thing."), asked("Who?", "A person.")
    near = asked("  what ", "a thing!")
    assert counts(first, other, first, near, first) == {"exact duplicate": 2, "near duplicate": 1}


def test_different_signs_are_no_near_duplicates():
    assert counts(asked("Is x < 0?", "It may be."), asked("Is x > 0?", "It may be.")) == {}


def test_contradicting_answers_are_found():
    found = summarise(dataset(asked("What?", "This."), asked("What?", "That."), asked("What?", "This."))).findings
    assert [(finding.kind, finding.count) for finding in found] == [
        ("exact duplicate", 1),
        ("same prompt with different answers", 1),
    ]
    assert found[1].excerpts[0].index == 1
    assert found[1].excerpts[0].text == "What? → That."


def test_same_question_after_another_conversation_is_no_contradiction():
    one, other = asked("Hello", "Good day, one."), asked("Hello", "Good day, one.")
    rows = (*one, *asked("Name a city.", "Paris")), (*other, *asked("Name a river.", "The Nile"))
    assert counts(*rows) == {}


def test_plain_texts_do_not_contradict_each_other():
    assert counts((Turn("assistant", "once upon"),), (Turn("assistant", "a time"),)) == {}


def test_very_short_answers_are_counted_to_the_given_length():
    rows = asked("a?", "yes"), asked("b?", "true"), asked("c?", "certainly")
    assert counts(*rows) == {"very short answer": 1}
    assert counts(*rows, short_answer_bytes=5) == {"very short answer": 2}


def test_common_answer_is_found_in_a_set_that_is_large_enough():
    rows = [asked(f"question {place}", "always the same" if place < 3 else f"answer {place}") for place in range(30)]
    assert counts(*rows) == {"common answer": 3}
    assert counts(*rows[:19]) == {}
    assert counts(*rows, asked("one more", "makes it less than a tenth")) == {}


TEMPLATES = [
    "Below is an instruction that describes a task. Write a response.",
    "Intro\n### Instruction:\nDo it",
    "Text ### Instruction: Do it",
    "###Question: why",
    "[INST] do it [/INST]",
    "<|im_start|>user\nhi",
    "<|start_header_id|>user",
    "\n\nHuman: hi\n\nAssistant: hello",
]


@pytest.mark.parametrize("text", TEMPLATES)
def test_template_in_the_text_is_found(text):
    assert counts(asked(text, "some answer")) == {"template in the text": 1}
    assert counts((Turn("assistant", text),)) == {"template in the text": 1}


@pytest.mark.parametrize(
    "text", ["### Heading", "Question: why is it so?", "Follow the instruction: run", "a < |b| > c"]
)
def test_ordinary_text_is_no_template(text):
    assert counts(asked(text, "some answer")) == {}


def test_answers_that_repeat_or_speak_as_an_ai_are_found():
    rows = (
        asked("Say it.", " Say it.\n"),
        asked("Who?", "As an AI language model, I cannot."),
        asked("X?", "as an AIDE"),
    )
    assert counts(*rows) == {"answer repeats the prompt": 1, "speaks as an AI": 1}


def test_three_excerpts_are_kept_and_are_safe_to_print():
    rows = [asked("\x1b[31m" + "q" * 200, "no")] * 5
    finding = summarise(dataset(*rows)).findings[0]
    assert (finding.kind, finding.count, [one.index for one in finding.excerpts]) == ("exact duplicate", 4, [1, 2, 3])
    assert all(one.text.isprintable() and len(one.text) < 170 for one in finding.excerpts)


def test_broken_rows_are_grouped_by_reason_with_the_most_frequent_first():
    reasons = ["empty prompt", *["empty response"] * 4]
    broken = tuple(BrokenRow(place + 1, reason, f"row {place}") for place, reason in enumerate(reasons))
    summary = summarise(dataset(asked("q", "answer"), broken=broken))
    assert [(one.kind, one.count, len(one.excerpts)) for one in summary.broken] == [
        ("empty response", 4, 3),
        ("empty prompt", 1, 1),
    ]
    assert summary.num_rows == 6


def test_token_lengths_can_be_put_in_place():
    tokens = TokenLengths("base", spread([1, 2]), spread([3]))
    assert replace(summarise(dataset(asked("q", "answer"))), tokens=tokens).tokens == tokens

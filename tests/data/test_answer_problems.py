"""Rules for refusals, cut answers and scripts, on texts that people would judge alike."""

import pytest

from sftlab.data.answer_problems import main_script, refuses, stops_inside

LONG = "The first sentence is quite long and it says something of the matter. The second one goes on for a while and "


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, but as an AI language model I cannot do this.",
        "I cannot provide medical advice.",
        "I am unable to answer this question.",
        "申し訳ありませんが、お答えできません。",
        "抱歉\uff0c我无法回答。",
    ],
)
def test_refusals_are_seen(answer):
    assert refuses(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry to hear that your dog is ill. Take it to a vet.",
        "The door cannot provide shelter.",
        "You can't divide by zero.",
        "A long story. " * 30 + "I cannot help you, said the wolf.",
    ],
)
def test_answers_that_only_use_such_words_are_no_refusals(answer):
    assert not refuses(answer)


def test_answers_without_an_end_are_seen():
    assert stops_inside(LONG + "then it stops at the")
    assert stops_inside(LONG + "lists a few things, such as apples,")


@pytest.mark.parametrize(
    "answer",
    [
        LONG + "then it ends well.",
        LONG + 'then she said "it is done"',
        LONG + "it ends with a tag for all #end",
        "Paris",
        LONG + "\n- a short item",
        "def f(x):\n    # It adds one. And returns what it found in the end of it all\n"
        + "    y = x\n" * 20
        + "    return y",
    ],
)
def test_complete_answers_are_not_cut(answer):
    assert not stops_inside(answer)


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("What is this?", "latin"),
        ("日本の首都はどこですか", "kana"),
        ("中国的首都是北京", "cjk"),
        ("Это по-русски, ok", "cyrillic"),
        ("12 + 3 = 15", None),
    ],
)
def test_script_is_that_of_most_letters(text, script):
    assert main_script(text) == script

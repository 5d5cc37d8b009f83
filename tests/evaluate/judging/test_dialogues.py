"""The evaluated model's turns: each asked in the words of training, after all that was said before."""

import numpy as np
import pytest

from sftlab.benchmarks.item import Item
from sftlab.data.example import Example, Turn
from sftlab.evaluate.engines.engine import EngineAbout, TextAnswers
from sftlab.evaluate.judging.dialogues import DialogueForm, held_dialogues
from sftlab.evaluate.questions import questions
from sftlab.lm.base import load_base
from sftlab.lm.templates import render_example, resolve_template
from sftlab.study.declaration import BaseRef, Precision
from tests.evaluate.conftest import benchmark
from tests.lm.models import write_model

ITEM = Item("0", "the cat", ("", ""), follow_ups=("sees the dog",))


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat") / "chat"
    write_model(folder, "llama", chat=True)
    return load_base(BaseRef(name="chat", model=str(folder)), device="cpu", precision=Precision())


class Scripted:
    """An engine that says what it is told, and keeps the prompts that it saw."""

    about = EngineAbout("scripted", "1", "none")

    def __init__(self, model, *rounds):
        self.model = model
        self.rounds = list(rounds)
        self.prompts = []

    def generate(self, prompts, **_):
        self.prompts.append(list(prompts))
        return self.rounds.pop(0)

    def log_likelihoods(self, *_, **__):
        raise AssertionError("a dialogue has no likelihood")


def hold(engine, items, template, *, max_new_tokens=4, system=None):
    asked, stops = questions(engine.model, benchmark(items, "judge", judge="mt_bench"), template)
    form = DialogueForm(template, stops, system)
    return held_dialogues(engine, asked, form, max_new_tokens=max_new_tokens, on_progress=lambda _: None)


def test_second_turn_under_a_chat_template_is_what_the_tokenizer_renders(chat):
    engine = Scripted(chat, TextAnswers((" a bird \n",)), TextAnswers(("no",)))
    held = hold(engine, [ITEM], "chat")
    assert held.dialogues[0].answers == ["a bird", "no"]
    messages = [
        {"role": "user", "content": "the cat"},
        {"role": "assistant", "content": "a bird"},
        {"role": "user", "content": "sees the dog"},
    ]
    expected = chat.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True)
    expected = expected["input_ids"] if hasattr(expected, "keys") else expected
    assert engine.prompts[1][0].tolist() == [chat.base_tokenizer.tokenizer.bos_token_id, *expected]


@pytest.mark.parametrize("template", ["question_answer", "alpaca", "chat"])
def test_second_turn_is_what_training_has_before_the_second_response(chat, template):
    engine = Scripted(chat, TextAnswers(("a bird",)), TextAnswers(("no",)))
    hold(engine, [ITEM], template)
    said = ("the cat", "a bird", "sees the dog", "a dog")
    roles = ("user", "assistant", "user", "assistant")
    example = Example(tuple(map(Turn, roles, said)), 0)
    resolved = resolve_template(template, chat.base_tokenizer.tokenizer)
    tokens = chat.base_tokenizer.encode([render_example(example, resolved, loss_on="response")])[0]
    second = np.flatnonzero(tokens.response)[-1]
    while tokens.response[second - 1]:
        second -= 1
    assert engine.prompts[1][0].tolist() == tokens.ids[:second].tolist()


def test_plain_turns_are_parted_by_an_empty_line(chat):
    engine = Scripted(chat, TextAnswers(("a bird",)), TextAnswers(("no",)))
    hold(engine, [ITEM], "plain")
    expected = chat.base_tokenizer.encode_text("the cat\n\na bird\n\nsees the dog")
    assert engine.prompts[1][0].tolist() == list(expected)


def test_a_turn_that_leaves_no_room_ends_its_dialogue_and_no_other(chat, monkeypatch):
    long = Item("1", "the cat", ("", ""), follow_ups=(" ".join(["dog"] * 40),))
    monkeypatch.setattr(chat, "context_length", 30)
    engine = Scripted(chat, TextAnswers(("a", "b")), TextAnswers(("c",)))
    held = hold(engine, [ITEM, long], "plain")
    assert [one.answers for one in held.dialogues] == [["a", "c"], ["b"]]
    assert held.dialogues[0].obstacle is None
    assert "do not fit the context of 30" in held.dialogues[1].obstacle
    assert held.requests == 3


def test_what_does_not_fit_in_memory_is_not_asked_further(chat):
    engine = Scripted(chat, TextAnswers(("", "b"), {0: "9 tokens alone do not fit in memory"}, 2), TextAnswers(("c",)))
    held = hold(engine, [ITEM, Item("1", "a dog", ("", ""), follow_ups=("the",))], "plain")
    assert [one.answers for one in held.dialogues] == [[], ["b", "c"]]
    assert held.out_of_memory == 2

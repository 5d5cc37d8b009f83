"""What a server renders through the tokenizer is, byte for byte and id for id, what training rendered."""

from copy import deepcopy

import pytest
from jinja2.exceptions import TemplateError

from sftlab.data.example import Example, Turn
from sftlab.lm.base import load_tokenizer
from sftlab.lm.encoding import encode_prompt
from sftlab.lm.templates import render_example, render_prompt, resolve_template
from sftlab.lm.tokenizer import BaseTokenizer
from sftlab.release.serving_template import serving_template
from sftlab.study.declaration import BaseRef, CustomTemplate
from tests.lm.models import CHATML, TOKENIZERS

USER, ASSISTANT = Turn("user", " who? "), Turn("assistant", "a cat")
CONVERSATIONS = {
    "one turn": (USER, ASSISTANT),
    "two turns": (USER, ASSISTANT, Turn("user", "where?\n"), Turn("assistant", "near {{ the }} tree ")),
    "system": (Turn("system", "be brief"), USER, ASSISTANT),
    "two questions": (USER, Turn("user", "what?"), ASSISTANT),
}
ODD = CustomTemplate(prompt='"Frage" {{{instruction}}}\r\n\\n 問🐈\n\tA:', response=" {response}.%}{# ")
TEMPLATES = {"question_answer": "question_answer", "alpaca": "alpaca", "odd": ODD, "chat": "chat"}
ENDLESS = "{% for m in messages %}{{ m.role }}: {{ m.content | trim }}\n{% endfor %}"
DATED = "{{ date_string if date_string is defined else strftime_now('%d %b %Y') }}\n" + CHATML


def served(kind, template, chat=CHATML):
    """The tokenizer of training, its template, and a tokenizer that carries the served template instead."""
    trained = TOKENIZERS[kind]()
    server = deepcopy(trained)
    trained.chat_template = chat
    base = BaseTokenizer(trained, context_length=256)
    resolved = resolve_template(template, trained)
    server.chat_template = serving_template(resolved, base)
    return base, resolved, server


def messages(turns):
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def trained_text(base, segments):
    bos = "" if base.bos_id is None else "<s>"
    return bos + "".join(segment.text + ("</s>" if segment.eos_after else "") for segment in segments)


@pytest.mark.parametrize("turns", CONVERSATIONS.values(), ids=CONVERSATIONS)
@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_served_conversation_is_the_trained_one(kind, template, turns):
    base, resolved, server = served(kind, template)
    segments = render_example(Example(turns, 0), resolved, loss_on="response")
    text = server.apply_chat_template(messages(turns), tokenize=False)
    ids = server.apply_chat_template(messages(turns), return_dict=False)
    trained_ids = base.encode([segments])[0].ids.tolist()
    if template == "chat":
        # a line end after the last turn belongs to the next one, and was not trained on
        assert text.removesuffix("\n") == trained_text(base, segments)
        assert ids[: len(trained_ids)] == trained_ids
    else:
        assert text == trained_text(base, segments)
        assert ids == trained_ids


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_served_prompt_is_the_one_that_evaluation_asks_with(kind, template):
    base, resolved, server = served(kind, template)
    asked = [{"role": "user", "content": "who is it?"}]
    ids = server.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
    assert ids == encode_prompt(base, render_prompt("who is it?", resolved))


def test_prompt_of_a_second_question_goes_on_from_the_trained_conversation():
    base, resolved, server = served("character", "question_answer")
    turns = (*CONVERSATIONS["one turn"], Turn("user", "where?"))
    text = server.apply_chat_template(messages(turns), tokenize=False, add_generation_prompt=True)
    whole = render_example(Example((*turns, Turn("assistant", "X")), 0), resolved, loss_on="response")
    assert text == trained_text(base, whole).removesuffix("X</s>")


@pytest.mark.parametrize("turns", [CONVERSATIONS["one turn"], CONVERSATIONS["two turns"]])
def test_chat_template_without_an_end_of_turn_gets_the_trained_end(turns):
    base, resolved, server = served("metaspace", "chat", chat=ENDLESS)
    segments = render_example(Example(turns, 0), resolved, loss_on="response")
    text = server.apply_chat_template(messages(turns), tokenize=False)
    assert text.removesuffix("\n") == trained_text(base, segments)
    assert text.count("</s>") == sum(turn.role == "assistant" for turn in turns)


def test_date_in_a_chat_template_is_the_one_of_training():
    base, resolved, server = served("byte_level", "chat", chat=DATED)
    turns = CONVERSATIONS["one turn"]
    segments = render_example(Example(turns, 0), resolved, loss_on="response")
    text = server.apply_chat_template(messages(turns), tokenize=False)
    assert text.removesuffix("\n") == trained_text(base, segments)
    assert text.startswith("26 Jul 2024")


def test_chat_template_that_lacks_nothing_is_kept_as_it_is():
    _, _, server = served("byte_level", "chat")
    assert server.chat_template == CHATML


def test_roles_that_training_does_not_know_are_refused():
    _, _, server = served("byte_level", "alpaca")
    with pytest.raises(TemplateError, match="got tool"):
        server.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


@pytest.mark.parametrize("template", ["question_answer", "alpaca"])
@pytest.mark.parametrize("model", ["babyllama_tok361", "llama2xs_279K", "stories260K"])
def test_real_tokenizers_serve_what_was_trained(shared, model, template):
    folder = shared / "weights" / model
    if not folder.is_dir():
        pytest.skip(f"needs the real tokenizer of {model}")
    base = load_tokenizer(BaseRef(name=model, model=str(folder)))
    resolved, server = resolve_template(template, base.tokenizer), deepcopy(base.tokenizer)
    server.chat_template = serving_template(resolved, base)
    turns = CONVERSATIONS["two turns"]
    trained = base.encode([render_example(Example(turns, 0), resolved, loss_on="response")])[0]
    assert server.apply_chat_template(messages(turns), return_dict=False) == trained.ids.tolist()
    ids = server.apply_chat_template(messages(turns[:1]), add_generation_prompt=True, return_dict=False)
    assert ids == encode_prompt(base, render_prompt(USER.content, resolved))

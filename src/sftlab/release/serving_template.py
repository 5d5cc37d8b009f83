"""The template of training as Jinja, for whatever serves a model through its tokenizer's chat template."""

import json

from sftlab.lm.encoding import encode_prompt
from sftlab.lm.templates import ONE_TURN, ChatTemplate, Piece, ResolvedTemplate, TextTemplate
from sftlab.lm.tokenizer import BaseTokenizer, Segment

PROBE = "a"
DATE = "26 Jul 2024"
"""The date that training shows to chat templates that write one."""


def serving_template(template: ResolvedTemplate, tokenizer: BaseTokenizer) -> str:
    """A Jinja chat template that renders a conversation as training did, with its special tokens written out.

    A prompt (`add_generation_prompt`) ends where evaluation lets the model go on: white space that the tokenizer joins
    to the answer's first word is left for the model to write. Of a tokenizer's own chat template all is kept; only
    what training added to it is put around it (beginning and end of sequence, the date). The line ends that such a
    template writes after the last turn were not trained on.
    """
    bos = "" if tokenizer.bos_id is None else _token(tokenizer, tokenizer.bos_id)
    eos = _token(tokenizer, tokenizer.eos_id)
    if isinstance(template, ChatTemplate):
        return _around_own(template, tokenizer, bos, eos)
    assert isinstance(template, TextTemplate), f"a template of another kind: {type(template).__name__}"
    return _from_formats(template, tokenizer, bos, eos)


def _from_formats(template: TextTemplate, tokenizer: BaseTokenizer, bos: str, eos: str) -> str:
    before_prompt, after_prompt = template.template.prompt.split("{instruction}")
    before_response, after_response = template.template.response.split("{response}")
    cue = _generation_cue(template, tokenizer, after_prompt + before_response)
    return "".join(
        [
            _said(bos),
            "{%- for message in messages -%}",
            "{%- if not loop.first and loop.previtem.role != 'user' -%}" + _said("\n") + "{%- endif -%}",
            "{%- if message.role == 'system' -%}{{- message.content -}}",
            "{%- elif message.role == 'user' -%}",
            _said(before_prompt) + "{{- message.content -}}",
            "{%- if loop.last and add_generation_prompt -%}" + _said(cue),
            "{%- else -%}" + _said(after_prompt) + "{%- endif -%}",
            "{%- elif message.role == 'assistant' -%}",
            "{%- if not loop.first and loop.previtem.role == 'user' -%}",
            _said(before_response) + "{{- message.content -}}" + _said(after_response),
            "{%- else -%}{{- message.content -}}{%- endif -%}" + _said(eos),
            "{%- else -%}{{- raise_exception('roles are system, user and assistant, got ' ~ message.role) -}}",
            "{%- endif -%}{%- endfor -%}",
            "{%- if add_generation_prompt and messages and messages[-1].role != 'user' -%}",
            _said("\n") + "{%- endif -%}",
        ]
    )


def _generation_cue(template: TextTemplate, tokenizer: BaseTokenizer, text: str) -> str:
    """What stands between a question and its answer, without the white space that the answer's first token takes."""
    before = [Segment(piece.filled(PROBE), trusted=piece.turn is None) for piece in _until_question(template)]
    trained = encode_prompt(tokenizer, [*before, Segment(text, trusted=True)])
    for length in range(len(text), len(text.rstrip()) - 1, -1):
        ids = tokenizer.encode([[*before, Segment(text[:length], trusted=True)]])[0].ids
        if ids.tolist() == trained:
            return text[:length]
    return text


def _until_question(template: TextTemplate) -> tuple[Piece, ...]:
    pieces = template.pieces(ONE_TURN)
    place = next(number for number, piece in enumerate(pieces) if piece.turn == 0)
    return pieces[: place + 1]


def _around_own(template: ChatTemplate, tokenizer: BaseTokenizer, bos: str, eos: str) -> str:
    own: str = tokenizer.tokenizer.get_chat_template()
    pieces = template.pieces(ONE_TURN)
    head = "" if not bos or pieces[0].text.startswith(bos) else _said(bos)
    if "date_string" in own:
        head += "{%- if date_string is not defined -%}{%- set date_string = " + _literal(DATE) + " -%}{%- endif -%}"
    answer = next(piece for piece in pieces if piece.turn == 1)
    head += _ending_turns(answer, eos) if answer.eos_after else ""
    # A line end after a block is dropped in rendering, so that the tokenizer's own text still begins a line.
    return f"{{%- if true -%}}{head}{{%- endif %}}\n{own}" if head else own


def _ending_turns(answer: Piece, eos: str) -> str:
    """Put the end-of-sequence token behind everything the assistant says, as training did."""
    stripped = ".rstrip()" if answer.strip_right else ""
    ended = "dict(message, content=message.content" + stripped + " ~ " + _literal(eos) + ")"
    return (
        "{%- set ended = namespace(messages=[]) -%}{%- for message in messages -%}"
        "{%- set ended.messages = ended.messages + [" + ended + " if message.role == 'assistant' else message] -%}"
        "{%- endfor -%}{%- set messages = ended.messages -%}"
    )


def _said(text: str) -> str:
    return "{{- " + _literal(text) + " -}}" if text else ""


def _literal(text: str) -> str:
    """A Jinja string: escapes of JSON, all but ASCII left as it is, for Jinja knows no surrogate pairs."""
    return json.dumps(text, ensure_ascii=False)


def _token(tokenizer: BaseTokenizer, number: int) -> str:
    text: str = tokenizer.tokenizer.convert_ids_to_tokens(number)
    return text

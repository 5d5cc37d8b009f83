"""Shapes that the study spells out: which column holds what."""

from dataclasses import replace

from sftlab.data.example import Turn
from sftlab.data.record import Record
from sftlab.data.shapes.conversations import conversation_shape
from sftlab.data.shapes.shape import Shape, answer_text, asked_and_answered, joined, prompt_text
from sftlab.data.shapes.text import text_shape
from sftlab.errors import DataError
from sftlab.study.declaration import DatasetRef

NAMED = ("prompt", "input", "response", "messages", "text", "system")


def named_columns(ref: DatasetRef) -> dict[str, str]:
    """The columns that the study names, by what they hold."""
    return {role: column for role in NAMED if (column := getattr(ref, role)) is not None}


def explicit_shape(ref: DatasetRef, where: str) -> Shape | None:
    """The shape that the named columns make up, or None where they leave it to be recognised.

    Raises DataError when the columns do not go together: messages and text each stand alone, prompt needs response.
    """
    named = named_columns(ref)
    roles = set(named) - {"system"}
    if not roles:
        return None
    if roles == {"messages"}:
        return conversation_shape("messages", named["messages"])
    if roles == {"text"}:
        return text_shape(named["text"])
    if roles not in ({"prompt", "response"}, {"prompt", "input", "response"}):
        given = ", ".join(f"`{role}: {named[role]}`" for role in named)
        raise DataError(
            f"{where} names {given}: legal are `prompt` and `response` (with or without `input`), or `messages` alone, "
            "or `text` alone"
        )
    return _prompt_and_response(named["prompt"], named.get("input"), named["response"])


def with_system(shape: Shape, column: str) -> Shape:
    """The same shape with its system turn from a column of any name."""

    def turns(record: Record) -> list[Turn]:
        return shape.turns({**record, "system": prompt_text(record, column), "system_prompt": None})

    return replace(shape, turns=turns)


def _prompt_and_response(prompt: str, given: str | None, response: str) -> Shape:
    def fits(record: Record) -> bool:
        return prompt in record and response in record

    def turns(record: Record) -> list[Turn]:
        asked = joined(prompt_text(record, prompt), prompt_text(record, given) if given else "")
        return asked_and_answered(record, asked, answer_text(record, response))

    return Shape("prompt_response", f"{prompt}, {response}", fits, turns)

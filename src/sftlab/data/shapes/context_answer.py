"""FLAN-like knowledge sets whose `context` is the whole question."""

from sftlab.data.example import Turn
from sftlab.data.record import Record
from sftlab.data.shapes.shape import Shape, answer_text, asked_and_answered, prompt_text


def _fits(record: Record) -> bool:
    return "context" in record and "answer" in record


def _turns(record: Record) -> list[Turn]:
    return asked_and_answered(record, prompt_text(record, "context"), answer_text(record, "answer"))


SHAPE = Shape("context_answer", "context, answer", _fits, _turns)

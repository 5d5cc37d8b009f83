"""Alpaca and its kin: instruction, optionally input, and output (GPTeacher: response)."""

from sftlab.data.example import Turn
from sftlab.data.record import Record
from sftlab.data.shapes.shape import Shape, answer_text, asked_and_answered, joined, prompt_text


def _response(record: Record) -> str:
    return "output" if "output" in record else "response"


def _fits(record: Record) -> bool:
    return "instruction" in record and _response(record) in record


def _turns(record: Record) -> list[Turn]:
    """The input follows the instruction after one newline, as in the paper's template; Dolly calls it context."""
    given = "input" if "input" in record else "context"
    prompt = joined(prompt_text(record, "instruction"), prompt_text(record, given))
    return asked_and_answered(record, prompt, answer_text(record, _response(record)))


SHAPE = Shape("instruction", "instruction, output or response, optionally input", _fits, _turns)

"""Questions and answers, as in GSM8K and FLAN; further columns (a rationale, say) are not read."""

from sftlab.data.example import Turn
from sftlab.data.record import Record
from sftlab.data.shapes.shape import Shape, answer_text, asked_and_answered, joined, prompt_text


def _response(record: Record) -> str:
    return "answer" if "answer" in record else "response"


def _fits(record: Record) -> bool:
    return "question" in record and _response(record) in record


def _turns(record: Record) -> list[Turn]:
    """A context, where the row has one, stands before the question: without it the question has no answer."""
    context = record.get("context")
    prompt = joined(context if isinstance(context, str) else "", prompt_text(record, "question"))
    return asked_and_answered(record, prompt, answer_text(record, _response(record)))


SHAPE = Shape("question_answer", "question, answer", _fits, _turns)

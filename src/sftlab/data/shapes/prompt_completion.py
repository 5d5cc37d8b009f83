"""Prompt and completion (TRL, fine-tuning services) or prompt and response."""

from sftlab.data.conversation import conversation_turns
from sftlab.data.example import Turn
from sftlab.data.record import Record
from sftlab.data.shapes.shape import Shape, answer_text, asked_and_answered, prompt_text, system_turns


def _response(record: Record) -> str:
    return "completion" if "completion" in record else "response"


def _fits(record: Record) -> bool:
    return "prompt" in record and _response(record) in record


def _turns(record: Record) -> list[Turn]:
    """Both may be lists of messages, which then follow one another."""
    prompt, response = record["prompt"], record[_response(record)]
    if isinstance(prompt, list) and isinstance(response, list):
        messages = [*conversation_turns(prompt, "prompt"), *conversation_turns(response, _response(record))]
        return messages if any(turn.role == "system" for turn in messages) else [*system_turns(record), *messages]
    return asked_and_answered(record, prompt_text(record, "prompt"), answer_text(record, _response(record)))


SHAPE = Shape("prompt_completion", "prompt, completion or response", _fits, _turns)

"""Conversations: chat messages ({role, content}), ShareGPT ({from, value}) and UltraChat (alternating texts)."""

from collections.abc import Mapping

from sftlab.data.conversation import conversation_turns
from sftlab.data.example import Turn
from sftlab.data.record import Record
from sftlab.data.shapes.shape import Shape, system_turns


def conversation_shape(name: str, column: str) -> Shape:
    """A shape whose one column holds the whole conversation; a `system` column opens one that has no system turn."""

    def fits(record: Record) -> bool:
        return _is_conversation(record.get(column))

    def turns(record: Record) -> list[Turn]:
        messages = conversation_turns(record[column], column)
        return messages if any(turn.role == "system" for turn in messages) else [*system_turns(record), *messages]

    return Shape(name, f"{column} (a list of messages)", fits, turns)


def _is_conversation(value: object) -> bool:
    """Whether a value looks like messages rather than like rows: a file may hold `{"messages": [rows]}`."""
    if isinstance(value, str):
        return value.lstrip().startswith("[")
    if not isinstance(value, list):
        return False
    return all(
        isinstance(part, str) or (isinstance(part, Mapping) and ("role" in part or "from" in part)) for part in value
    )


MESSAGES = conversation_shape("messages", "messages")
SHAREGPT = conversation_shape("sharegpt", "conversations")
ULTRACHAT = conversation_shape("ultrachat", "data")

"""What a shape of dataset is, and how its columns become turns."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from sftlab.data.example import Turn
from sftlab.data.record import Record, UnusableError, kind_of

SYSTEM_COLUMNS = ("system", "system_prompt")


@dataclass(frozen=True)
class Shape:
    """One way to lay out instruction data, recognised by its columns.

    `columns` says to a person which ones it needs. `turns` reads one record that `fits`, and raises UnusableError when
    its values are of the wrong kind; emptiness and the order of roles are judged afterwards, the same for all shapes,
    unless the shape is `plain` text.
    """

    name: str
    columns: str
    fits: Callable[[Record], bool]
    turns: Callable[[Record], list[Turn]]
    plain: bool = False


def prompt_text(record: Record, column: str) -> str:
    """The text of a column that is given to the model; null and an absent column are empty."""
    value = record.get(column)
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raise UnusableError(f"`{column}` is {kind_of(value)}, not text")


def answer_text(record: Record, column: str) -> str:
    """The text of a column that is learned: of a list of answers the first; a number or truth value as JSON has it."""
    value = record.get(column)
    if isinstance(value, list):
        value = value[0] if value else None
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    raise UnusableError(f"`{column}` is {kind_of(value)}, not text")


def joined(*texts: str) -> str:
    """The texts that are not empty, one newline between two."""
    return "\n".join(text for text in texts if text.strip())


def system_turns(record: Record) -> list[Turn]:
    """The system turn of a record with a text column `system` or `system_prompt`."""
    texts = (record.get(column) for column in SYSTEM_COLUMNS)
    return [Turn("system", text) for text in texts if isinstance(text, str) and text.strip()][:1]


def asked_and_answered(record: Record, prompt: str, response: str) -> list[Turn]:
    """A question and its answer, after the system turn and the `history` (pairs of question and answer) of the row."""
    turns = system_turns(record)
    history = record.get("history")
    for pair in history if isinstance(history, list) else ():
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
            raise UnusableError("`history` is not a list of pairs of question and answer")
        turns += [Turn("user", pair[0]), Turn("assistant", pair[1])]
    return [*turns, Turn("user", prompt), Turn("assistant", response)]

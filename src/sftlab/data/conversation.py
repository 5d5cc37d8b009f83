"""Lists of messages: reading them as turns, and what makes a sequence of turns learnable."""

import json
from collections.abc import Mapping, Sequence
from typing import Literal

from sftlab.data.example import Role, Turn
from sftlab.data.record import UnusableError, kind_of

ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
}


def conversation_turns(messages: object, column: str) -> list[Turn]:
    """Turns of a list of messages.

    A message is an object with `role` or `from` and with `content` or `value` (text, or a list of text parts). A list
    of plain texts is read as user and assistant in turn (LIMA and UltraChat as their authors publish them), and text
    that holds such a list as JSON is read too, as csv files have no lists.
    """
    if isinstance(messages, str) and messages.lstrip().startswith("["):
        try:
            messages = json.loads(messages)
        except (ValueError, RecursionError):
            raise UnusableError(f"`{column}` is not valid JSON") from None
    if not isinstance(messages, list):
        raise UnusableError(f"`{column}` is {kind_of(messages)}, not a list of messages")
    if messages and all(isinstance(message, str) for message in messages):
        return [Turn("assistant" if place % 2 else "user", text) for place, text in enumerate(messages)]
    return [_turn(message, column) for message in messages]


def learnable_turns(turns: Sequence[Turn], *, keep: Literal["all", "first"]) -> tuple[Turn, ...]:
    """The turns that are kept: system (if any), then user and assistant by turns, the assistant last.

    Empty system turns and questions without an answer at the end are left out; with `keep="first"` so is everything
    after the first answer. Raises UnusableError when the roles stand in another order or a kept turn is empty.
    """
    kept = [turn for turn in turns if turn.role != "system" or turn.content.strip()]
    while kept and kept[-1].role != "assistant":
        kept.pop()
    if not kept:
        raise UnusableError("no answer of the assistant")
    opening = 1 if kept[0].role == "system" else 0
    if keep == "first":
        kept = kept[: opening + 2]
    for place, turn in enumerate(kept[opening:]):
        expected = "assistant" if place % 2 else "user"
        if turn.role != expected:
            raise UnusableError(f"the roles are in an impossible order: {turn.role} where {expected} is due")
        if not turn.content.strip():
            raise UnusableError("empty response" if expected == "assistant" else "empty prompt")
    return tuple(kept)


def check_text(turns: Sequence[Turn]) -> None:
    """Raises UnusableError for text that no tokenizer can take: NUL bytes, and what is not Unicode."""
    for turn in turns:
        if "\0" in turn.content:
            raise UnusableError("a NUL byte in the text")
        try:
            turn.content.encode()
        except UnicodeEncodeError:
            raise UnusableError("not valid UTF-8") from None


def _turn(message: object, column: str) -> Turn:
    if not isinstance(message, Mapping):
        raise UnusableError(f"a message in `{column}` is {kind_of(message)}, not an object")
    name = message.get("role", message.get("from"))
    role = ROLES.get(name.strip().lower()) if isinstance(name, str) else None
    if role is None:
        raise UnusableError(f"a message in `{column}` has an unknown role: {str(name)[:20]}")
    return Turn(role, _content(message.get("content", message.get("value")), column))


def _content(content: object, column: str) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, Mapping) and part.get("type") == "text"]
        said = [text for text in texts if isinstance(text, str)]
        if len(said) == len(content):
            return "".join(said)
    raise UnusableError(f"the content of a message in `{column}` is {kind_of(content)}, not text")

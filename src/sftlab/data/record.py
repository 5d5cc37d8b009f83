"""A row as its file holds it, before anyone knows what it means; and what is said of one that cannot be used."""

from collections.abc import Mapping

EXCERPT_CHARACTERS = 80

Record = Mapping[str, object]


class UnusableError(Exception):
    """This one row cannot be learned from; never leaves the package, where it becomes a BrokenRow."""

    def __init__(self, reason: str, content: object = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.content = content


Rows = list[Record | UnusableError]


def excerpt(content: object) -> str:
    """The beginning of a row or text on one line, safe to print: no control characters, no half surrogates."""
    if isinstance(content, Mapping):
        text = ", ".join(f"{key}: {_beginning(value)}" for key, value in list(content.items())[:8])
    else:
        text = _beginning(content)
    line = " ".join(text.split())
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in line)
    return shown if len(shown) <= EXCERPT_CHARACTERS else shown[: EXCERPT_CHARACTERS - 1] + "\u2026"


def kind_of(value: object) -> str:
    """What a person calls a value of this type in a file."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    names = {int: "a number", float: "a number", str: "text", list: "a list", dict: "an object", bytes: "bytes"}
    return names.get(type(value), f"a {type(value).__name__}")


def _beginning(value: object) -> str:
    return value[: 2 * EXCERPT_CHARACTERS] if isinstance(value, str) else repr(value)[: 2 * EXCERPT_CHARACTERS]

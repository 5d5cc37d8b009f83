"""JSON (a list of objects, or an object that holds one list) and JSON lines, and what can be saved of broken ones."""

import json
import re

from sftlab.data.formats.source import Source, text_of
from sftlab.data.record import Record, Rows, UnusableError, kind_of
from sftlab.data.shapes import recognise
from sftlab.errors import DataError

JSON_FAULTS = (ValueError, RecursionError)
STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"'
SEPARATORS = re.compile(r"[\s,]*")
FIRST_KEY = re.compile(r"\{\s*(" + STRING + r")\s*:")
LIST_INSIDE_AN_OBJECT = re.compile(
    r"\s*\{(?:\s*" + STRING + r"\s*:\s*(?:" + STRING + r'|[^\s"{}\[\],]+)\s*,)*\s*' + STRING + r"\s*:\s*\["
)


def read_json(source: Source) -> Rows:
    """Rows of a `.json` file; one that holds an object a line is read as JSON lines."""
    text = text_of(source)
    try:
        return _rows_of(json.loads(text), source.where)
    except JSON_FAULTS as fault:
        if not text.lstrip().startswith("[") and isinstance(_parsed(text.lstrip().split("\n", 1)[0]), dict):
            return _lines(text)
        rows = _salvaged(text, source.where)
        if not any(isinstance(row, dict) for row in rows):
            raise DataError(f"{source.where} is not JSON: {_reason(fault)}") from None
        return rows


def read_json_lines(source: Source) -> Rows:
    """Rows of a `.jsonl` file; one that holds a list, or objects over several lines, is read as what it is."""
    text = text_of(source)
    rows = _lines(text)
    if any(isinstance(row, dict) for row in rows):
        return rows
    try:
        return read_json(source)
    except DataError:
        return rows


def _lines(text: str) -> Rows:
    rows: Rows = []
    for line in text.split("\n"):
        if line.strip():
            value = _parsed(line)
            rows.append(value if isinstance(value, UnusableError) else _row(value))
    return rows


def _parsed(text: str) -> object:
    """The value that the text stands for, or an UnusableError in its place."""
    try:
        return json.loads(text)
    except JSON_FAULTS as fault:
        return UnusableError(_reason(fault), text)


def _row(value: object) -> Record | UnusableError:
    return value if isinstance(value, dict) else UnusableError(f"the row is {kind_of(value)}, not an object", value)


def _rows_of(value: object, where: str) -> Rows:
    if isinstance(value, list):
        return [_row(element) for element in value]
    if not isinstance(value, dict):
        raise DataError(f"{where} holds {kind_of(value)}: legal is a list of objects")
    lists = {key: part for key, part in value.items() if isinstance(part, list)}
    if recognise([value]) is not None and list(lists.values()) != [[]]:
        return [value]
    if len(lists) != 1:
        held = f"the lists {', '.join(lists)}" if lists else "no list"
        raise DataError(f"{where} holds an object with {held}: legal is a list of objects, or an object with one list")
    return [_row(element) for element in next(iter(lists.values()))]


def _salvaged(text: str, where: str) -> Rows:
    """All elements that can be read: after a broken one, reading goes on at the next that starts with the same key.

    Raises DataError where the file ends inside an element: how much of it is lost, nobody can tell.
    """
    decoder = json.JSONDecoder()
    place, in_list = _first_element(text, decoder)
    rows: Rows = []
    while (place := _skip(text, place)) < len(text):
        if in_list and text[place] == "]":
            break
        try:
            value, place = decoder.raw_decode(text, place)
            rows.append(_row(value))
        except JSON_FAULTS as fault:
            following = _next_element(text, place, max(getattr(fault, "pos", place), place + 1))
            if following is None and not text.rstrip().endswith(("]", "}")) and rows:
                raise DataError(
                    f"{where} is cut off: it ends inside row {len(rows)}, after {len(rows)} whole ones; get the whole "
                    "file, or close the list with `]` after the last whole row to use just these"
                ) from None
            rows.append(UnusableError(_reason(fault), text[place : place + 200]))
            if following is None:
                break
            place = following
    return rows


def _first_element(text: str, decoder: json.JSONDecoder) -> tuple[int, bool]:
    """Where the first element starts, and whether the elements stand in a list."""
    start = _skip(text, 0)
    if text.startswith("[", start):
        return start + 1, True
    try:
        decoder.raw_decode(text, start)
    except JSON_FAULTS:
        opening = LIST_INSIDE_AN_OBJECT.match(text)
        if opening:
            return opening.end(), True
    return start, False


def _next_element(text: str, broken: int, fault: int) -> int | None:
    key = FIRST_KEY.match(text, broken)
    if key is None:
        return None
    following = re.compile(r"\{\s*" + re.escape(key.group(1)) + r"\s*:").search(text, fault)
    return following.start() if following else None


def _skip(text: str, place: int) -> int:
    found = SEPARATORS.match(text, place)
    return found.end() if found else place


def _reason(fault: ValueError | RecursionError) -> str:
    if isinstance(fault, json.JSONDecodeError):
        return f"not valid JSON ({fault.msg})"
    return "nested too deeply" if isinstance(fault, RecursionError) else "a number with too many digits"

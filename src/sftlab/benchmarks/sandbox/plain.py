"""Values that pass between a program and its tests: plain data only, written as json.

The tests read what an untrusted process sends. So no class of the sender is ever rebuilt, and no method of it ever
called, on the reading side: an object that calls itself equal to everything arrives as a handle, equal to nothing.
"""

import collections
import decimal
import fractions
import json
import numbers
import socket
import struct
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

MAX_FRAME_BYTES = 4 << 20
MAX_ITERATED = 100_000
_SAFE_INTEGER = 1 << 53
_LENGTH = struct.Struct(">I")
_VIEWS: tuple[Any, ...] = (type({}.keys()), type({}.values()), type({}.items()))

Handle = Callable[[Any], int]
Object = Callable[[int], Any]


class NotPlainError(ValueError):
    """A message that is no plain data, or too much of it."""


def encode(value: Any, handle: Handle) -> Any:  # noqa: ANN401 - any value of a program
    """A value as json; subclasses count as the plain type they extend, numpy numbers as numbers.

    What is no plain data becomes a handle to an object that stays where it is.
    """
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    for kind, written in _WRITTEN.items():
        if isinstance(value, kind):
            return written(value, handle)
    if type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    return {"object": handle(value)}


def _integer(value: Any, _: Handle) -> Any:  # noqa: ANN401
    number = int(value)
    return number if -_SAFE_INTEGER < number < _SAFE_INTEGER else {"int": format(number, "x")}


def _float(value: Any, _: Handle) -> Any:  # noqa: ANN401
    number = float(value)
    return number if abs(number) < float("inf") else {"float": repr(number)}


def _many(tag: str) -> Callable[[Any, Handle], Any]:
    return lambda value, handle: {tag: [encode(one, handle) for one in value]}


def _iterated(value: Any, handle: Handle) -> Any:  # noqa: ANN401
    found = [encode(one, handle) for one in islice(value, MAX_ITERATED + 1)]
    if len(found) > MAX_ITERATED:
        raise NotPlainError(f"an iterator with more than {MAX_ITERATED} values")
    return {"iter": found}


def _pairs(value: Any, handle: Handle) -> Any:  # noqa: ANN401
    return {"dict": [[encode(key, handle), encode(inner, handle)] for key, inner in dict.items(value)]}


_WRITTEN: dict[Any, Callable[[Any, Handle], Any]] = {
    list: lambda value, handle: [encode(one, handle) for one in list.__iter__(value)],
    tuple: _many("tuple"),
    dict: _pairs,
    set: _many("set"),
    frozenset: _many("frozenset"),
    collections.deque: _many("deque"),
    _VIEWS: _many("iter"),
    bytes: lambda value, _: {"bytes": bytes(value).hex()},
    bytearray: lambda value, _: {"bytearray": bytes(value).hex()},
    complex: lambda value, _: {"complex": [repr(value.real), repr(value.imag)]},
    range: lambda value, _: {"range": [_integer(part, _) for part in (value.start, value.stop, value.step)]},
    fractions.Fraction: lambda value, _: {"fraction": [format(value.numerator, "x"), format(value.denominator, "x")]},
    decimal.Decimal: lambda value, _: {"decimal": str(value)},
    numbers.Integral: _integer,
    numbers.Real: _float,
    Iterator: _iterated,
}


def decode(value: Any, found: Object) -> Any:  # noqa: ANN401
    """The value that `encode` wrote; `found` gives what stands for an object of the other side.

    Raises NotPlainError for everything that `encode` does not write.
    """
    if isinstance(value, list):
        return [decode(one, found) for one in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        raise NotPlainError("a message that is no plain data")
    ((tag, inner),) = value.items()
    try:
        if tag == "object":
            return found(int(inner))
        if tag == "dict":
            return {decode(key, found): decode(one, found) for key, one in inner}
        if tag in _COLLECTED:
            return _COLLECTED[tag](decode(one, found) for one in inner)
        return _READ[tag](inner)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise NotPlainError("a message that is no plain data") from error


_COLLECTED: dict[str, Callable[[Iterator[Any]], Any]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": collections.deque,
    "iter": lambda values: iter(list(values)),
}
_READ: dict[str, Callable[[Any], Any]] = {
    "int": lambda text: int(text, 16),
    "float": float,
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "complex": lambda parts: complex(float(parts[0]), float(parts[1])),
    "range": lambda parts: range(*parts),
    "fraction": lambda parts: fractions.Fraction(int(parts[0], 16), int(parts[1], 16)),
    "decimal": decimal.Decimal,
}


def send(channel: socket.socket, message: Any) -> None:  # noqa: ANN401
    """Write one message. Raises NotPlainError where it is too long."""
    text = json.dumps(message).encode()
    if len(text) > MAX_FRAME_BYTES:
        raise NotPlainError(f"a message of more than {MAX_FRAME_BYTES} bytes")
    channel.sendall(_LENGTH.pack(len(text)) + text)


def receive(channel: socket.socket) -> Any:  # noqa: ANN401
    """Read one message. Raises EOFError where the other side is gone, NotPlainError for what is no json."""
    (length,) = _LENGTH.unpack(_exactly(channel, _LENGTH.size))
    if length > MAX_FRAME_BYTES:
        raise NotPlainError(f"a message of more than {MAX_FRAME_BYTES} bytes")
    try:
        return json.loads(_exactly(channel, length))
    except (ValueError, RecursionError) as error:
        raise NotPlainError("a message that is no json") from error


def _exactly(channel: socket.socket, number: int) -> bytes:
    parts: list[bytes] = []
    while number:
        part = channel.recv(min(number, 1 << 16))
        if not part:
            raise EOFError("the other side is gone")
        parts.append(part)
        number -= len(part)
    return b"".join(parts)

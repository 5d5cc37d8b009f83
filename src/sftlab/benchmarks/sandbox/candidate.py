"""The process that a program runs in: it answers calls with plain data, and knows nothing of tests or verdicts."""

import os
import signal
import socket
import sys
import types
from typing import Any

from sftlab.benchmarks.sandbox import isolation, kernel
from sftlab.benchmarks.sandbox.limits import Limits
from sftlab.benchmarks.sandbox.plain import NotPlainError, decode, encode, receive, send
from sftlab.benchmarks.sandbox.seccomp import deny_system_calls

MODULE = "program"
NUM_OTHERS = 2
_CHANGEABLE = (list, dict, set, bytearray)


def run_program(channel: socket.socket, limits: Limits) -> None:
    """Shut this process in, run the program that the channel brings, and answer calls until the channel ends."""
    kernel.die_with_parent(signal.SIGKILL)
    os.setsid()
    _close_all_but(channel.fileno())
    isolation.own_scratch(limits.scratch_bytes, limits.num_files)
    os.environ.clear()
    sys.argv = [""]
    kernel.drop_capabilities()
    deny_system_calls()
    limits.hold_program(num_others=NUM_OTHERS)
    _Program(channel).serve()


def _close_all_but(kept: int) -> None:
    os.closerange(3, kept)
    os.closerange(kept + 1, 1 << 16)


def _described(error: BaseException) -> tuple[str, str]:
    """The name and the text of an exception, whose own code may fail too."""
    try:
        return str(type(error).__name__), str(error)[:500]
    except BaseException:  # noqa: BLE001 - whatever a program's exception does when it is described
        return "Exception", "an exception that cannot be described"


class _Program:
    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._module = types.ModuleType(MODULE)
        self._objects: list[Any] = []

    def serve(self) -> None:
        sys.modules[MODULE] = self._module
        self._answer(["load", receive(self._channel)])
        while True:
            try:
                request = receive(self._channel)
            except EOFError:
                return
            self._answer(request)

    def _answer(self, request: list[Any]) -> None:
        try:
            reply = ["ok", *getattr(self, f"_{request[0]}")(*request[1:])]
            send(self._channel, reply)
        except BaseException as error:  # noqa: BLE001 - whatever a program raises is its answer
            send(self._channel, ["error", *_described(error)])

    def _load(self, code: str) -> list[Any]:
        exec(compile(code, f"<{MODULE}>", "exec"), self._module.__dict__)
        return [list(self._module.__dict__)]

    def _name(self, name: str) -> list[Any]:
        value = self._module.__dict__[name]
        if isinstance(value, types.ModuleType):
            return [None, value.__name__]
        return [encode(value, self._handle), None]

    def _call(self, target: int, positional: list[Any], named: dict[str, Any]) -> list[Any]:
        given = [decode(one, self._found) for one in positional]
        result = self._objects[target](*given, **{name: decode(one, self._found) for name, one in named.items()})
        written = encode(result, self._handle)
        return [written, [encode(one, self._handle) if type(one) in _CHANGEABLE else None for one in given]]

    def _get(self, target: int, name: str) -> list[Any]:
        return [encode(getattr(self._objects[target], name), self._handle)]

    def _set(self, target: int, name: str, value: Any) -> list[Any]:  # noqa: ANN401
        setattr(self._objects[target], name, decode(value, self._found))
        return []

    def _handle(self, value: object) -> int:
        for number, known in enumerate(self._objects):
            if known is value:
                return number
        if len(self._objects) >= 1000:
            raise NotPlainError("too many objects that are no plain data")
        self._objects.append(value)
        return len(self._objects) - 1

    def _found(self, number: int) -> Any:  # noqa: ANN401
        return self._objects[number]

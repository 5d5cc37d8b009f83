"""The process that tries a program: it runs the tests, calls the program elsewhere, and alone has the verdict."""

import ast
import builtins
import importlib
import os
import random
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from sftlab.benchmarks.sandbox import kernel
from sftlab.benchmarks.sandbox.candidate import run_program
from sftlab.benchmarks.sandbox.limits import Limits
from sftlab.benchmarks.sandbox.plain import decode, encode, receive, send
from sftlab.benchmarks.sandbox.seccomp import deny_system_calls

TESTS = "<tests>"
MAX_REASON = 300
NEVER_RAISED = ("StopIteration", "StopAsyncIteration")
"""Exceptions that end a loop of the tests as if all were done."""
ENDED = "the program ended"
"""Of its own, or because it took too much."""


class ProgramError(Exception):
    """The program raised what is no exception of Python's own, or ended."""


def try_program(connection: socket.socket, limits: Limits) -> None:
    """Read a program and its tests from the connection, start the program apart, run the tests, send the verdict."""
    channel, far = socket.socketpair()
    kernel.unshare(kernel.CLONE_NEWPID)
    child = os.fork()
    if child == 0:
        try:
            run_program(far, limits)
        finally:
            os._exit(1)
    far.close()
    kernel.drop_capabilities()
    deny_system_calls()
    limits.hold_tests()
    signal.setitimer(signal.ITIMER_REAL, limits.wall_seconds)
    job = receive(connection)
    reason = _reason_of_failure(job, channel)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    send(connection, {"passed": reason is None, "reason": (reason or "")[:MAX_REASON]})


def _reason_of_failure(job: Mapping[str, Any], channel: socket.socket) -> str | None:
    random.seed(0)
    try:
        program = _Program(channel)
        try:
            defined = program.load(job["code"])
        except BaseException as error:  # noqa: BLE001 - whatever it is, the program does not run
            return f"the program does not run: {_said(error)}"
        space: dict[str, Any] = {"__name__": "tests"}
        exec(compile(job["beside"], "<beside>", "exec"), space)
        space.update(_from_program(program, defined - (space.keys() - {*job["names"]}), job))
        exec(compile(job["tests"], TESTS, "exec"), space)
    except BaseException as error:  # noqa: BLE001 - tests that do not end well are not passed
        return _failure(error, job["tests"])
    return None


def _from_program(program: "_Program", defined: set[str], job: Mapping[str, Any]) -> dict[str, Any]:
    """What the tests take from the program: the names asked for, and names that nothing else gives a meaning.

    `defined` are the names that the program may give them, without those of the trusted code.
    """
    wanted = set(job["names"])
    mentioned = {node.id for node in ast.walk(ast.parse(job["tests"])) if isinstance(node, ast.Name)}
    free = {name for name in mentioned if not hasattr(builtins, name) and not name.startswith("__")}
    return {name: program.named(name) for name in sorted((wanted | free) & defined)}


def _said(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _failure(error: BaseException, tests: str) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == TESTS]
    written = tests.splitlines()
    where = written[lines[-1] - 1].strip() if lines and lines[-1] and lines[-1] <= len(written) else "the tests"
    return f"{_said(error)} at: {where}"


class _Program:
    """The program in its own process, as the tests see it."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    def load(self, code: str) -> set[str]:
        send(self._channel, code)
        (names,) = self._reply()
        return {name for name in names if isinstance(name, str)}

    def named(self, name: str) -> Any:  # noqa: ANN401
        value, module = self._asked("name", name)
        if isinstance(module, str) and module.partition(".")[0] in sys.stdlib_module_names:
            return importlib.import_module(module)
        return self._found(value)

    def call(self, target: int, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:  # noqa: ANN401
        written = [encode(one, self._handle) for one in positional]
        value, after = self._asked(
            "call", target, written, {name: encode(x, self._handle) for name, x in named.items()}
        )
        for one, change in zip(positional, after, strict=True):
            if change is not None:
                _become(one, self._found(change))
        return self._found(value)

    def get(self, target: int, name: str) -> Any:  # noqa: ANN401
        (value,) = self._asked("get", target, name)
        return self._found(value)

    def set(self, target: int, name: str, value: Any) -> None:  # noqa: ANN401
        self._asked("set", target, name, encode(value, self._handle))

    def _asked(self, *request: object) -> list[Any]:
        send(self._channel, list(request))
        return self._reply()

    def _reply(self) -> list[Any]:
        try:
            reply = receive(self._channel)
        except (EOFError, OSError) as error:
            raise ProgramError(ENDED) from error
        if isinstance(reply, list) and reply[:1] == ["ok"]:
            return reply[1:]
        kind, text = (str(part) for part in reply[1:3])
        known = getattr(builtins, kind, None)
        if isinstance(known, type) and issubclass(known, Exception) and kind not in NEVER_RAISED:
            try:
                raised = known(text)
            except TypeError:
                raised = ProgramError(f"{kind}: {text}")
            raise raised
        raise ProgramError(f"{kind}: {text}")

    def _found(self, value: Any) -> Any:  # noqa: ANN401
        return decode(value, lambda number: _Remote(self, number))

    @staticmethod
    def _handle(value: object) -> int:
        if isinstance(value, _Remote):
            return object.__getattribute__(value, "_number")  # type: ignore[no-any-return]
        raise TypeError(f"a {type(value).__name__} of the tests cannot be handed to the program")


class _Remote:
    """An object or function inside the program: it can be called, and its attributes read and set.

    Nothing can be concluded from it otherwise: it has no truth value, and comparing it with a value is an error.
    """

    __slots__ = ("_number", "_program")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, program: _Program, number: int) -> None:
        object.__setattr__(self, "_program", program)
        object.__setattr__(self, "_number", number)

    def __call__(self, *positional: Any, **named: Any) -> Any:  # noqa: ANN401
        program: _Program = object.__getattribute__(self, "_program")
        return program.call(object.__getattribute__(self, "_number"), positional, named)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        program: _Program = object.__getattribute__(self, "_program")
        return program.get(object.__getattribute__(self, "_number"), name)

    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401
        program: _Program = object.__getattribute__(self, "_program")
        program.set(object.__getattribute__(self, "_number"), name, value)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, _Remote):
            return bool(object.__getattribute__(self, "_number") == object.__getattribute__(other, "_number"))
        raise TypeError("an object of the program is compared with a value")

    def __bool__(self) -> bool:
        raise TypeError("an object of the program has no truth value")


def _become(given: Any, after: Any) -> None:  # noqa: ANN401
    """Let the tests see what the program did to a list, dictionary, set or array that they gave it."""
    if type(given) is not type(after):
        raise ProgramError("the program answers with something else than was asked")
    if isinstance(given, list | bytearray):
        given[:] = after
    elif isinstance(given, dict | set):
        given.clear()
        given.update(after)

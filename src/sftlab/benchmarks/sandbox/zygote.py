"""The process that stays: it isolates itself once, and forks a trial for every program that it is handed.

It never reads a program or its tests itself, so that nothing of one trial is in the memory of the next.
"""

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
import sysconfig
from array import array

from sftlab.benchmarks.sandbox import isolation, kernel
from sftlab.benchmarks.sandbox.limits import Limits
from sftlab.benchmarks.sandbox.trial import try_program

READY, CLEAN, REFUSED = b"r", b"c", b"x"
PRELOADED = (
    "bisect", "cmath", "collections", "copy", "dataclasses", "datetime", "decimal", "enum", "fractions", "functools",
    "hashlib", "heapq", "itertools", "json", "math", "operator", "random", "re", "statistics", "string", "textwrap",
    "typing",
)  # fmt: skip


def main() -> None:
    """Isolate, say so, and serve trials until the host's end of the socket closes."""
    control = socket.socket(fileno=int(sys.argv[1]))
    limits = Limits(**json.loads(sys.argv[2]))
    try:
        os.setsid()
        for name in PRELOADED:
            importlib.import_module(name)
        isolation.isolate()
    except OSError as error:
        control.sendall(REFUSED + str(error).encode())
        return
    child = os.fork()
    if child:
        control.close()
        os.waitpid(child, 0)
        return
    _serve(control, limits)
    os._exit(0)


def _serve(control: socket.socket, limits: Limits) -> None:
    kernel.die_with_parent(signal.SIGKILL)
    socket.sethostname("sandbox")
    for stream in (0, 1, 2):
        os.dup2(os.open("/dev/null", os.O_RDWR), stream)
    standard = [sysconfig.get_path("stdlib"), str(sysconfig.get_config_var("DESTSHARED"))]
    sys.path[:] = [*standard, str(isolation.PACKAGES)]
    sys.argv = [""]
    gc.freeze()
    control.sendall(READY)
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not data:
            return
        _one_trial(control, array("i", descriptors)[0], limits)
        control.sendall(CLEAN)


def _one_trial(control: socket.socket, descriptor: int, limits: Limits) -> None:
    child = os.fork()
    if child == 0:
        try:
            control.close()
            try_program(socket.socket(fileno=descriptor), limits)
        finally:
            os._exit(1)
    os.close(descriptor)
    os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()

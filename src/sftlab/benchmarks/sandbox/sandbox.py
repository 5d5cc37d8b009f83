"""The host's side of the sandbox: programs and their tests go in, verdicts come out."""

import atexit
import functools
import importlib.metadata
import importlib.util
import json
import os
import platform
import socket
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from sftlab.benchmarks.sandbox.kept_verdicts import KeptVerdicts, key_of
from sftlab.benchmarks.sandbox.limits import Limits
from sftlab.benchmarks.sandbox.plain import NotPlainError, receive, send
from sftlab.benchmarks.sandbox.seccomp import DENIED
from sftlab.benchmarks.sandbox.trial import ENDED
from sftlab.errors import BenchmarkError

SANDBOX_VERSION = 2
SOURCES = Path(__file__).parents[3]
START = "import sys; sys.path.append({path!r}); from sftlab.benchmarks.sandbox.zygote import main; main()"
START_SECONDS = 60.0
GRACE_SECONDS = 30.0
READY = b"r"
STOPPED = "stopped"


@dataclass(frozen=True)
class Program:
    """A program and what it is tried with.

    `tests` run outside of the program and call it; `names` are what they take from it, even where Python has a builtin
    of that name. `beside` is trusted code that the tests may use, such as helper functions of the question; of what it
    defines, a program gives the tests only `names`.
    """

    code: str
    tests: str
    names: tuple[str, ...]
    beside: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether a program passes all its tests, and where not, why."""

    passed: bool
    reason: str = ""


class Sandbox:
    """One warm sandbox: Python is started once and forks for every program; one program at a time."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._owner = 0

    def run(self, program: Program) -> Verdict:
        """Try one program. When this returns, nothing that the program started is left.

        Raises BenchmarkError where this machine cannot isolate programs.
        """
        with self._lock:
            control = self._started()
            try:
                verdict = self._tried(control, program)
                if control.recv(1):
                    return verdict
            except OSError:
                pass
            except BaseException:
                self._end()
                raise
            self._end()
            return Verdict(False, f"{STOPPED}: it does not end within {self.limits.wall_seconds:g} seconds")

    def close(self) -> None:
        """End the sandbox; a later program starts it again."""
        with self._lock:
            self._end()

    def _tried(self, control: socket.socket, program: Program) -> Verdict:
        near, far = socket.socketpair()
        with near:
            with far:
                socket.send_fds(control, [b"t"], [far.fileno()])
            near.settimeout(self.limits.wall_seconds + GRACE_SECONDS)
            try:
                send(near, asdict(program))
                said = receive(near)
            except (EOFError, BrokenPipeError, ConnectionResetError):
                return Verdict(False, f"{STOPPED}: no verdict within {self.limits.wall_seconds:g} seconds")
            except NotPlainError as error:
                return Verdict(False, str(error))
        return Verdict(said["passed"] is True, str(said["reason"]))

    def _started(self) -> socket.socket:
        if self._control is not None and self._owner == os.getpid():
            return self._control
        refusal = unsupported_platform()
        if refusal is not None:
            raise BenchmarkError(refusal)
        near, far = socket.socketpair()
        with far:
            self._process = subprocess.Popen(
                [*_python(), str(far.fileno()), json.dumps(asdict(self.limits))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"},
                pass_fds=(far.fileno(),),
                cwd="/",
            )
        self._control, self._owner = near, os.getpid()
        near.settimeout(START_SECONDS)
        said = _first_word(near)
        if said[:1] != READY:
            self._end()
            reason = said[1:].decode(errors="replace") or "it does not start"
            raise BenchmarkError(_refusal(reason))
        near.settimeout(self.limits.wall_seconds + GRACE_SECONDS)
        return near

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
            self._process.wait()
        self._control = self._process = None


def unsupported_platform() -> str | None:
    """Why this kind of machine has no sandbox at all, or None."""
    if sys.platform == "linux" and platform.machine() in DENIED:
        return None
    here = f"{platform.system()} on {platform.machine()}"
    return f"generated programs run in a sandbox of Linux on {' or '.join(DENIED)} only, and this is {here}"


@functools.cache
def why_no_sandbox() -> str | None:
    """Why programs cannot be run here, with how to allow it, or None where they can; tried once by running one."""
    sandbox = Sandbox()
    try:
        verdict = sandbox.run(Program("def one():\n    return 1", "assert one() == 1", ("one",)))
    except BenchmarkError as error:
        return str(error)
    finally:
        sandbox.close()
    return None if verdict.passed else _refusal(verdict.reason)


def sandbox_identity() -> object:
    """What decides whether a program passes, beside the program and its tests."""
    has_numpy = importlib.util.find_spec("numpy") is not None
    return {
        "version": SANDBOX_VERSION,
        "python": [sys.version_info.major, sys.version_info.minor],
        "numpy": importlib.metadata.version("numpy") if has_numpy else None,
        "limits": asdict(Limits()),
    }


@functools.lru_cache(maxsize=65_536)
def tried(program: Program) -> Verdict:
    """The verdict on a program, which is run once however often it is given: see `keep_verdicts`."""
    key = key_of(program, sandbox_identity())
    known = _KEPT.get(key)
    if isinstance(known, dict) and known.keys() == {"passed", "reason"}:
        return Verdict(known["passed"] is True, str(known["reason"]))
    verdict = _SANDBOX.run(program)
    if STOPPED not in verdict.reason and ENDED not in verdict.reason:
        _KEPT.add(key, asdict(verdict))
    return verdict


def keep_verdicts(folder: Path) -> None:
    """Keep what `tried` finds in a folder that other processes may share.

    Those are left out that a limit of time may have given: another hour or another machine may say otherwise.
    """
    _KEPT.use(folder / "verdicts.jsonl")


def _python() -> list[str]:
    return [sys.executable, "-P", "-s", "-B", "-c", START.format(path=str(SOURCES))]


def _first_word(control: socket.socket) -> bytes:
    try:
        return control.recv(4096)
    except OSError:
        return b""


def _refusal(reason: str) -> str:
    return (
        f"generated programs cannot be isolated on this machine ({reason}), so none is run; to allow it, permit "
        "unprivileged user namespaces (sysctl user.max_user_namespaces > 0, and where they exist "
        "kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0), in a container also "
        "the system calls unshare, mount and pivot_root, on Linux 5.12 or later"
    )


_SANDBOX = Sandbox()
_KEPT = KeptVerdicts()
atexit.register(_SANDBOX.close)

"""Runs a command for as long as whoever started it lives: `python -m sftlab.evaluate.engines.keeper COMMAND WORDS...`.

Standard input is a pipe whose other end only the starter holds. When it closes, be the starter done, killed or crashed,
the command's whole process group is ended.
"""

import os
import select
import signal
import subprocess
import sys
import time

GRACE_SECONDS = 5.0
LOOK_SECONDS = 0.2


def keep(command: list[str]) -> int:
    """Run the command in a process group of its own until it ends, or standard input does; returns its exit code."""
    started = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
    for asked_to_stop in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(asked_to_stop, lambda *_: _end(started))
    try:
        while started.poll() is None:
            readable, _, _ = select.select([sys.stdin], [], [], LOOK_SECONDS)
            if readable and not os.read(sys.stdin.fileno(), 1):
                break
    finally:
        _end(started)
    return started.wait()


def _end(started: subprocess.Popen[bytes]) -> None:
    """End the group: politely, then surely. It may outlive the process that it is named after."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        if not _signalled(started, how):
            return
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline:
            if not _signalled(started, 0):
                return
            time.sleep(LOOK_SECONDS)


def _signalled(started: subprocess.Popen[bytes], how: int) -> bool:
    """Send the group a signal; False where nothing of it is left."""
    started.poll()
    try:
        os.killpg(started.pid, how)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1:]))

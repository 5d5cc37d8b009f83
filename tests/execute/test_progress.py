import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from sftlab.execute.event import Failed, Finished, Idle, Moved, Started
from sftlab.execute.progress import LOCK, Progress, is_alive, is_at_work


def progress() -> Progress:
    return Progress("s", Counter({"train": 4, "score": 4}), workers=2)


def test_time_left_is_that_of_the_tasks_left_shared_by_the_workers() -> None:
    done = progress()
    done.take(Finished(0, "train", "a", "run a", 10.0))
    done.take(Finished(0, "score", "b", "b", 2.0))
    assert done.seconds_left == (3 * 10.0 + 3 * 2.0) / 2


def test_failed_tasks_are_not_waited_for() -> None:
    done = progress()
    done.take(Finished(0, "train", "a", "run a", 10.0))
    done.take(Failed(0, "train", "b", "run b", "broke"))
    assert done.seconds_left == (2 * 10.0 + 4 * 10.0) / 2
    assert [failure.reason for failure in done.failures] == ["broke"]


def test_nothing_is_known_before_the_first_is_done() -> None:
    assert progress().seconds_left is None
    assert progress().tokens_per_second is None


def test_current_tasks_come_and_go() -> None:
    done = progress()
    done.take(Started(1, "run a", "train", "run a"))
    done.take(Moved(1, 0.5, 100))
    assert done.current == {1: ("train run a", 0.5)}
    done.take(Idle(1))
    assert done.current == {}


def test_note_of_this_process_is_alive_and_of_a_gone_one_is_not() -> None:
    note = progress().note()
    assert is_alive(note)
    assert not is_alive({**note, "pid": 2**22 + 1})
    assert not is_alive({**note, "host": "another", "updated_at": 0.0})


def test_tasks_without_tokens_are_no_training_rate() -> None:
    done = progress()
    for _ in range(3):
        done.take(Moved(0, 0.5, 0))
    assert done.tokens_per_second is None


def test_killed_process_that_nobody_has_reaped_is_not_at_work(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom sftlab.execute.progress import locked\n"
        f"file = open({str(tmp_path / LOCK)!r}, 'a+')\nassert locked(file)\nprint('held', flush=True)\ntime.sleep(60)"
    )
    assert not is_at_work(tmp_path)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_at_work(tmp_path)
        os.kill(holder.pid, signal.SIGKILL)
        end = time.monotonic() + 10
        while is_at_work(tmp_path) and time.monotonic() < end:
            time.sleep(0.02)
        assert not is_at_work(tmp_path)
        assert Path(f"/proc/{holder.pid}").exists()

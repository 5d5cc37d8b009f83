from collections import Counter

from sftlab.execute.event import Failed, Finished, Idle, Moved, Started
from sftlab.execute.progress import Progress, is_alive


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

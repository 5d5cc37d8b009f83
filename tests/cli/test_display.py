"""What a waiting user reads while work goes on, where output is no terminal."""

import io
from collections import Counter

from sftlab.cli.display import announced, display, doing
from sftlab.execute.event import Moved, Preparing, Started
from sftlab.execute.progress import Progress


def progress() -> Progress:
    return Progress("s", Counter({"train": 4, "score": 1, "measure": 8}), workers=2)


def test_first_line_says_what_cells_are_and_that_workers_start() -> None:
    out = io.StringIO()
    with display(out) as show:
        show(progress(), None)
        show(progress(), None)
    said = out.getvalue().splitlines()
    assert len(said) == 1
    assert said[0].endswith(announced(progress()))
    assert announced(progress()).startswith("13 cells to do: 4 training runs, 1 score, 8 measures of data; starting 2 ")


def test_task_is_begun_until_it_moves() -> None:
    now = progress()
    now.take(Started(1, "run a", "train", "run a"))
    assert [text for _, text, _ in doing(now)] == ["train run a: begun"]
    now.take(Moved(1, 0.25, 100))
    assert [text for _, text, _ in doing(now)] == ["train run a 25%"]


def test_task_that_waits_for_its_engine_says_so() -> None:
    progress = Progress("s", Counter({"score": 1}), workers=1)
    progress.take(Started(0, "run a", "score", "facts of a"))
    progress.take(Preparing(0, "vllm is being started"))
    assert doing(progress) == [(0, "score facts of a: vllm is being started", 0.0)]
    progress.take(Preparing(0, ""))
    assert doing(progress) == [(0, "score facts of a: begun", 0.0)]
    progress.take(Preparing(0, "vllm is being started"))
    progress.take(Started(0, "run a", "score", "strings of a"))
    assert doing(progress) == [(0, "score strings of a: begun", 0.0)]

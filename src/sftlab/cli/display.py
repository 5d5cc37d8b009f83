"""Progress of long work: a live panel on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

from sftlab.cli.printing import duration
from sftlab.execute.event import Event, Failed
from sftlab.execute.progress import Progress
from sftlab.store import Kind

LINE_SECONDS = 10.0
FIRST_SECONDS = 3.0
WORDS: Mapping[Kind, tuple[str, str]] = {
    "train": ("training run", "training runs"),
    "score": ("score", "scores"),
    "measure": ("measure of data", "measures of data"),
    "probe": ("measure of a model", "measures of models"),
}
Show = Callable[[Progress, Event | None], None]


@contextmanager
def display(stream: TextIO) -> Iterator[Show]:
    """What to call with every event, for as long as the work lasts."""
    if stream.isatty():
        yield from _live(stream)
    else:
        yield _plain(stream)


def summary(progress: Progress) -> str:
    """One line: how many cells, how fast, how long, how many failures."""
    total = progress.total.total()
    parts = [f"{progress.num_done}/{total} cells"]
    parts += [f"{progress.done[kind]}/{count} {kind}" for kind, count in progress.total.items()]
    rate = progress.tokens_per_second
    if rate is not None:
        parts.append(f"{rate:,.0f} training tokens/s")
    left = progress.seconds_left
    if left is not None:
        parts.append(f"about {duration(left)} left")
    if progress.failures:
        parts.append(f"{len(progress.failures)} failed")
    return ", ".join(parts)


def doing(progress: Progress) -> list[tuple[int, str, float]]:
    """Each worker that is at something: its number, what it does, and the share of it that is done.

    A task stands at nothing while its worker loads the model, tokenises, and is at its first batch, or gets ready what
    it tells of.
    """
    return [
        (index, f"{text} {share:.0%}" if share else f"{text}: {progress.preparing.get(index) or 'begun'}", share)
        for index, (text, share) in sorted(progress.current.items())
    ]


def announced(progress: Progress) -> str:
    """What is to be done: cells by kind, and by how many workers."""
    kinds = ", ".join(
        f"{count} {words[count != 1]}" for kind, words in WORDS.items() if (count := progress.total[kind])
    )
    workers = "1 worker" if progress.workers == 1 else f"{progress.workers} workers"
    cells = progress.total.total()
    return f"{cells} cell{'s' * (cells != 1)} to do: {kinds}; starting {workers}, which takes some seconds"


def _plain(stream: TextIO) -> Show:
    said = 0.0
    greeted = False

    def show(progress: Progress, event: Event | None) -> None:
        nonlocal said, greeted
        if not greeted:
            greeted = True
            stream.write(f"{time.strftime('%H:%M:%S')} {announced(progress)}\n")
            said = time.monotonic() - LINE_SECONDS + FIRST_SECONDS
        if isinstance(event, Failed):
            stream.write(f"failed: {event.kind} {event.subject}: {event.reason}\n")
        ended = progress.num_done + len(progress.failures) == progress.total.total()
        if time.monotonic() - said >= LINE_SECONDS or (ended and event is not None and not progress.current):
            said = time.monotonic()
            now = "; ".join(text for _, text, _ in doing(progress))
            stream.write(f"{time.strftime('%H:%M:%S')} {summary(progress)}{f'; now: {now}' if now else ''}\n")
        stream.flush()

    return show


def _live(stream: TextIO) -> Iterator[Show]:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    console = Console(file=stream)

    def drawn(progress: Progress) -> Group:
        ended = progress.num_done + len(progress.failures)
        workers = Table.grid(padding=(0, 2))
        for index, text, share in doing(progress):
            workers.add_row(f"worker {index}", ProgressBar(total=1.0, completed=share, width=20), Text(text))
        whole = ProgressBar(total=max(1, progress.total.total()), completed=ended)
        text = summary(progress) if ended or progress.current else announced(progress)
        return Group(Text(f"{progress.study}: {text}"), whole, workers)

    with Live(console=console, refresh_per_second=4, transient=False) as live:

        def show(progress: Progress, event: Event | None) -> None:
            if isinstance(event, Failed):
                console.print(Text(f"failed: {event.kind} {event.subject}: {event.reason}", style="red"))
            live.update(drawn(progress))

        yield show

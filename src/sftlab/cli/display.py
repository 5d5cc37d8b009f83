"""Progress of long work: a live panel on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from sftlab.cli.printing import duration
from sftlab.execute.event import Event, Failed
from sftlab.execute.progress import Progress

LINE_SECONDS = 10.0
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


def _plain(stream: TextIO) -> Show:
    said = 0.0

    def show(progress: Progress, event: Event | None) -> None:
        nonlocal said
        if isinstance(event, Failed):
            stream.write(f"failed: {event.kind} {event.subject}: {event.reason}\n")
        ended = progress.num_done + len(progress.failures) == progress.total.total()
        if time.monotonic() - said >= LINE_SECONDS or (ended and event is not None and not progress.current):
            said = time.monotonic()
            stream.write(f"{time.strftime('%H:%M:%S')} {summary(progress)}\n")
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
        for index, (text, share) in sorted(progress.current.items()):
            workers.add_row(f"worker {index}", ProgressBar(total=1.0, completed=share, width=20), Text(text))
        whole = ProgressBar(total=max(1, progress.total.total()), completed=ended)
        return Group(Text(f"{progress.study}: {summary(progress)}"), whole, workers)

    with Live(console=console, refresh_per_second=4, transient=False) as live:

        def show(progress: Progress, event: Event | None) -> None:
            if isinstance(event, Failed):
                console.print(Text(f"failed: {event.kind} {event.subject}: {event.reason}", style="red"))
            live.update(drawn(progress))

        yield show

"""How results look on a terminal, and on standard output for programs."""

import json
import sys
from collections.abc import Iterable, Sequence

SECONDS_PER_MINUTE, SECONDS_PER_HOUR, SECONDS_PER_DAY = 60, 3600, 86400
DAYS_FROM_HOURS = 100
DECIMALS_BELOW_HOURS = 100


def print_json(value: object) -> None:
    """One JSON value on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, default=str, allow_nan=False) + "\n")


def print_line(text: str = "") -> None:
    """A line of text on standard output."""
    sys.stdout.write(f"{text}\n")


def print_columns(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table that fits the terminal, or plain columns where output is no terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else 200, highlight=False, soft_wrap=not sys.stdout.isatty()).print(table)


def duration(seconds: float) -> str:
    """A time span as people say it."""
    if seconds < SECONDS_PER_MINUTE:
        return f"{seconds:.0f} s"
    if seconds < SECONDS_PER_HOUR:
        return f"{seconds / SECONDS_PER_MINUTE:.1f} min"
    if seconds < DAYS_FROM_HOURS * SECONDS_PER_HOUR:
        return f"{seconds / SECONDS_PER_HOUR:.1f} h"
    return f"{seconds / SECONDS_PER_DAY:,.0f} days"


def hours(count: float) -> str:
    """A number of hours that can be read: two decimals of a small one, thousands apart in a large one."""
    return f"{count:,.0f}" if count >= DECIMALS_BELOW_HOURS else f"{count:.2f}"


def size(num_bytes: float) -> str:
    """A number of bytes as people say it."""
    for unit in ("B", "KB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"

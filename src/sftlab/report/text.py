"""Numbers as text, and names made safe for the places where they are shown."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

MINUS = "\u2212"
LABEL_LENGTH = 30


def number(value: float | None) -> str:
    """Three significant digits, with a true minus sign; an unknown value is a dash."""
    if value is None or not math.isfinite(value):
        return "\u2013"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if -4 <= size < 6:
        return f"{value:,.{max(0, 2 - size)}f}".replace("-", MINUS)
    return f"{value:.2e}".replace("-", MINUS)


def signed(value: float | None) -> str:
    """A difference: as `number`, with the plus sign written."""
    shown = number(value)
    return f"+{shown}" if value is not None and math.isfinite(value) and value > 0 else shown


def interval(low: float | None, high: float | None, *, show: Callable[[float | None], str] = signed) -> str:
    """A 95 % interval, or that there is none; `show` writes its ends (those of a difference have signs)."""
    if low is None or high is None:
        return "no interval"
    return f"95 % interval {show(low)} to {show(high)}"


def told_n(row: Mapping[str, Any]) -> str:
    """What n of a row is, and what it counts where the row says so (`counted`)."""
    return f"n = {row.get('counted') or row['n']}"


def counted(count: int, noun: str) -> str:
    """A count with its noun, which takes a plain s in the plural."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(names: Iterable[object], at_most: int = 12) -> str:
    """Names separated by commas; how many more there are where there are too many to read."""
    shown = [str(name) for name in names]
    if len(shown) <= at_most:
        return ", ".join(shown)
    return f"{', '.join(shown[:at_most])} and {len(shown) - at_most} more"


def figure_text(text: object) -> str:
    """Text for a figure. Plotly reads a little markup (`<b>`, `<a href>`) in every label, so that is taken away."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def figure_label(name: str) -> str:
    """A name short enough for an axis: the middle of a long one is left out (what hovers shows it whole)."""
    if len(name) <= LABEL_LENGTH:
        return figure_text(name)
    kept = (LABEL_LENGTH - 1) // 2
    return figure_text(f"{name[:kept]}\u2026{name[-kept:]}")


def hover(lines: Sequence[str]) -> str:
    """Lines for the box that opens over a point; each is made safe."""
    return "<br>".join(figure_text(line) for line in lines)


def script_json(value: object) -> str:
    r"""JSON that may stand inside a script element whatever the strings in it: no `<`, `>`, `&` or line separators.

    NaN and infinities are refused, for they are not JSON: an unknown value is null.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text

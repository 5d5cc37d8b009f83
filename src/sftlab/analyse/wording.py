"""Numbers and lists in sentences."""

from collections.abc import Sequence
from typing import Any

SHARES = {"accuracy": "points of accuracy", "exact match": "points of exact match"}
ROUNDING = 1e-12


def amount(value: float, unit: str) -> str:
    """A signed difference with its unit; shares are written as points of a hundred."""
    scale = 100.0 if unit in SHARES else 1.0
    return f"{signed(value * scale)} {unit_shown(unit)}"


def interval(row: dict[str, Any], unit: str = "") -> str:
    """The 95 % interval of a row in brackets, or that there is none."""
    low, high = row["ci_low"], row["ci_high"]
    if low is None or high is None:
        return "[no interval]"
    scale = 100.0 if unit in SHARES else 1.0
    return f"[{signed(low * scale)}, {signed(high * scale)}]"


def cell(value: float, unit: str) -> str:
    """A signed difference as a table has it, in the unit that `unit_shown` names: shares are points of a hundred."""
    return f"{100 * value:+.2f}" if unit in SHARES else f"{value:+.3f}"


def interval_cell(row: dict[str, Any], unit: str, unknown: str = "unknown") -> str:
    """The 95 % interval of a row as a table has it, in the same unit, or the word for none."""
    low, high = row["ci_low"], row["ci_high"]
    return unknown if low is None or high is None else f"[{cell(low, unit)}, {cell(high, unit)}]"


def unit_shown(unit: str) -> str:
    """The unit in which a person reads differences; those of shares are points of a hundred."""
    return SHARES.get(unit, unit)


def score_cell(value: float | None, unit: str) -> str:
    """A score as a table has it: shares as percent, nothing known as a dash."""
    if value is None:
        return "-"
    return f"{100 * value:.2f} %" if unit in SHARES else f"{value:.3f}"


def signed(value: float) -> str:
    """Three significant digits, with its sign; what rounding alone leaves of nothing is 0."""
    return "0" if abs(value) < ROUNDING else f"{value:+.3g}"


def plain(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g}"


def listed(names: Sequence[str]) -> str:
    """Names as a list in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def listed_briefly(names: Sequence[str], at_most: int = 6) -> str:
    """Names as a list; of many the first few, and how many more there are."""
    if len(names) <= at_most + 1:
        return listed(names)
    return f"{', '.join(names[:at_most])} and {len(names) - at_most} more"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def counted_range(fewest: int, most: int, noun: str) -> str:
    """A count with its noun that is not the same everywhere."""
    return counted(most, noun) if fewest == most else f"{fewest:,} to {counted(most, noun)}"


def spoken(name: str) -> str:
    """A column's or property's name as people say it."""
    return name.replace("_", " ")


def spans_zero(row: dict[str, Any]) -> bool:
    """Whether the sign is unknown: no interval, or one that holds 0."""
    low, high = row["ci_low"], row["ci_high"]
    return low is None or high is None or low <= 0 <= high


def items_left_out(count: int, of: int, item: str, reason: str) -> str:
    """What is missing of a score because items could not be asked; `item` is one of them, and `reason` its."""
    which = f"is left out, item {item}" if count == 1 else f"are left out, such as item {item}"
    return f"{count} of {of} items {which}: {reason}"


def items_without_verdict(count: int, of: int, reason: str) -> str:
    """What is missing of a score because answers have no verdict."""
    return f"{count} of {of} items have no verdict: {reason}"

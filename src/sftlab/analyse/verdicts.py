"""From p-values to adjusted ones, and from those to words."""

from typing import Any

from sftlab.analyse.multiplicity import benjamini_hochberg

Row = dict[str, Any]

LEVEL = 0.05
HIGHER, LOWER, CANNOT_TELL, TOO_SMALL = "higher", "lower", "cannot tell", "too small to tell"


def verdict(value: float | None, p_adjusted: float | None) -> str:
    """The sign that a test found; `cannot tell` where it found none, `too small to tell` where there is no test."""
    if value is None or p_adjusted is None:
        return TOO_SMALL
    if p_adjusted > LEVEL:
        return CANNOT_TELL
    return HIGHER if value > 0 else LOWER


def adjust(rows: list[Row], effect: str = "correlation") -> None:
    """Add Benjamini-Hochberg adjusted p-values and verdicts in place, over all rows that have a p-value."""
    tested = [row for row in rows if row["p"] is not None]
    for row, p_adjusted in zip(tested, benjamini_hochberg([row["p"] for row in tested]), strict=True):
        row["p_adjusted"] = p_adjusted
    for row in rows:
        row["verdict"] = verdict(row[effect], row.get("p_adjusted"))

"""What a check finds: the rows concerned, why it matters, what to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
KEYS = ("checkpoint", "benchmark", "scorer", "metric")
Tables = Mapping[str, pl.DataFrame]
"""The contract tables by name; a check does without those that are not there."""


@dataclass(frozen=True, eq=False)
class AuditFinding:
    """One thing that is wrong.

    `error`: numbers that cannot be what they say; `warning`: they may mean something else; `note`: a limit of the
    design. `rows` are those concerned (of any columns that help to find them). `excluded` has the columns checkpoint,
    benchmark, scorer and metric of scores that analyses leave out; it is empty where they only say what was found.
    """

    check: str
    severity: Severity
    text: str
    why: str
    advice: str
    rows: pl.DataFrame
    excluded: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=dict.fromkeys(KEYS, pl.String())))

    def __post_init__(self) -> None:
        assert tuple(self.excluded.columns) == KEYS

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "check": self.check,
            "severity": self.severity,
            "text": self.text,
            "why": self.why,
            "advice": self.advice,
            "num_rows": self.rows.height,
            "rows": self.rows.to_dicts(),
            "num_excluded": self.excluded.height,
        }

"""What a report says about where its numbers come from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class ReportContext:
    """Everything on the page that is in no table.

    `design` is free text on what the study asks (the factors themselves are read from the tables). `counts` gives the
    number of cells per status (done, failed, unfit, pending, running); where it is empty the page counts the rows of
    the tables `runs` and `scores`. `versions` maps a package to its version.
    """

    study: str
    created: datetime
    design: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    machine: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

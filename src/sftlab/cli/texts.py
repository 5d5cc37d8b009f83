"""Results of a study with what is wrong with the texts of its data, for the verbs that audit it."""

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sftlab.analyse.results import Results
    from sftlab.plan.opening import Opened

SECONDS = 20.0
"""How long a verb that is about something else looks through texts; what it finds is kept for the next time."""


def audited_results(study: Path, store: Path | None, *, seconds: float = math.inf) -> "tuple[Results, str | None]":
    """The results of a study or import, audited with the texts of its data, and what of these was not looked at."""
    from sftlab.plan.opening import open_results, open_study
    from sftlab.store.imported import is_imported

    if is_imported(study):
        return open_results(study, store), None
    return with_texts(open_study(study, store), seconds=seconds)


def with_texts(opened: "Opened", *, seconds: float = math.inf) -> "tuple[Results, str | None]":
    """As `audited_results`, of a study that is open. On a terminal it shows how far it is."""
    from rich.console import Console

    from sftlab.plan.data_checks import data_checks

    with Console(file=sys.stderr).status("looking through the texts of the data") as status:
        checks = data_checks(
            opened,
            seconds=seconds,
            on_check=lambda done, every: status.update(f"looking through the texts of the data: {done} of {every}"),
        )
    return opened.results.with_data_checks(checks.found), checks.not_checked

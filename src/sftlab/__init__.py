"""sftlab: a laboratory for supervised fine-tuning.

As a library: `sftlab.open(study)` gives the results of a study file or of an import, as data frames and as answers;
`sftlab.Study` declares a study in Python.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sftlab.analyse.results import Results
    from sftlab.study.declaration import Study

__all__ = ["Study", "open"]


def open(study: str | Path, store: str | Path | None = None) -> "Results":
    """The results of a study, as far as it has come: `.scores()` and the other tables, `.audit`, `.analysis`.

    `study` is a study file or the folder of an import; `store` the folder of results where it is not `.sftlab` beside
    the study file. Raises SftlabError in one sentence.
    """
    from sftlab.plan.opening import open_results

    return open_results(Path(study), None if store is None else Path(store))


def __getattr__(name: str) -> object:
    if name == "Study":
        from sftlab.study.declaration import Study

        return Study
    raise AttributeError(f"module 'sftlab' has no attribute {name!r}")

"""sftlab: a laboratory for supervised fine-tuning.

As a library: `sftlab.open(study)` gives the results of a study file or of an import, as data frames and as answers;
`sftlab.from_scores(frame)` those of any table of scores; `sftlab.analyse.library` has every analysis as a function on
data frames; `sftlab.Study` declares a study in Python.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from sftlab.analyse.results import Results
    from sftlab.study.declaration import Study

__all__ = ["Study", "from_scores", "open"]


def open(study: str | Path, store: str | Path | None = None) -> "Results":
    """The results of a study, as far as it has come: `.scores()` and the other tables, `.audit`, `.analysis`.

    `study` is a study file or the folder of an import; `store` the folder of results where it is not `.sftlab` beside
    the study file. Raises SftlabError in one sentence.
    """
    from sftlab.plan.opening import open_results

    return open_results(Path(study), None if store is None else Path(store))


def from_scores(
    frame: "pl.DataFrame",
    *,
    name: str = "scores",
    benchmarks: Sequence[str] = (),
    percent: bool = False,
    columns: Mapping[str, str] = MappingProxyType({}),
) -> "Results":
    """The results in any table of scores, with gains over the rows of the bases themselves.

    `frame` (of polars) has one row a score, with columns `base`, `dataset` (`none` for the base itself), `benchmark`
    and `value`; or one row a model and the scores in the columns `benchmarks`. Recipes (`method`, `samples`, `seed`
    and the like), `family`, `metric` and the number of items `n` are taken where they are there. `columns` says which
    column of the frame is which of these, where it is called otherwise; `percent` that shares are given as percentages.
    Raises DataError in one sentence.
    """
    from sftlab.analyse.results import imported_results
    from sftlab.release.imports.scores import ScoreColumns, tidy_scores

    said = ScoreColumns(named=columns, benchmarks=tuple(benchmarks), percent=percent)
    return imported_results(tidy_scores(frame, said, name=name, origin={"kind": "data frame"}))


def __getattr__(name: str) -> object:
    if name == "Study":
        from sftlab.study.declaration import Study

        return Study
    raise AttributeError(f"module 'sftlab' has no attribute {name!r}")

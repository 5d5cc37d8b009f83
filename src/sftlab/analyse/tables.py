"""The contract tables of a study, by name."""

from collections.abc import Callable, Mapping

import polars as pl

from sftlab.analyse.data_table import data_table
from sftlab.analyse.probe_tables import dimensions_table, logliks_table, spectra_table
from sftlab.analyse.run_tables import checkpoints_table, layers_table, losses_table, runs_table, validation_table
from sftlab.analyse.score_tables import items_table, questions_table, scores_table
from sftlab.errors import StudyError
from sftlab.store import Store
from sftlab.study.cells import Cells

TABLES: Mapping[str, Callable[[Cells, Store], pl.DataFrame]] = {
    "runs": runs_table,
    "checkpoints": checkpoints_table,
    "scores": scores_table,
    "items": items_table,
    "questions": questions_table,
    "losses": losses_table,
    "validation": validation_table,
    "data": data_table,
    "layers": layers_table,
    "dimensions": dimensions_table,
    "logliks": logliks_table,
    "spectra": spectra_table,
}


def table(name: str, cells: Cells, store: Store) -> pl.DataFrame:
    """One table of the study as it stands. Raises StudyError for a name that is not one of `TABLES`."""
    if name not in TABLES:
        raise StudyError(f"there is no table {name!r}; the tables are {', '.join(TABLES)}")
    return TABLES[name](cells, store)


def build_tables(cells: Cells, store: Store) -> dict[str, pl.DataFrame]:
    """All tables of the study as it stands, in the order of `TABLES`."""
    return {name: table(name, cells, store) for name in TABLES}

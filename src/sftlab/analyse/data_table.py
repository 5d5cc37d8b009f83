"""Table `data`: properties of every dataset sample under every base."""

import polars as pl

from sftlab.analyse.cell_status import cell_status
from sftlab.analyse.schemas import DATA, from_rows
from sftlab.store import Store
from sftlab.study.cells import Cells
from sftlab.study.measures import MEASURES


def data_table(cells: Cells, store: Store) -> pl.DataFrame:
    """One row per property of each measured sample; a measure that is missing has its rows too, with a status.

    Properties are code lengths, perplexities, counts, ratios and similarities: none is below 0, nor is an end of its
    interval.
    """
    rows: list[dict[str, object]] = []
    for cell in cells.measures:
        status = cell_status(cell.identity, store)
        raw = store.rows(cell.identity, "properties") if status.status == "done" else None
        names = {
            "base": cell.base,
            "dataset": cell.dataset,
            "samples": cell.samples,
            "seed": cell.seed,
            "measure": cell.measure,
            "benchmark": cell.benchmark.name if cell.benchmark is not None else None,
            "status": status.status,
            "reason": status.reason,
        }
        expected = [{"property": name} for name in MEASURES[cell.measure].properties]
        found = raw.iter_rows(named=True) if raw is not None else iter(expected)
        rows.extend({**row, **names} for row in found)
    known = from_rows(rows, DATA).with_columns(pl.col(pl.Float64).fill_nan(None))
    return known.with_columns(pl.col("ci_low").clip(lower_bound=0.0))

"""Tables of measures of checkpoints: `dimensions` and `logliks` on the probe texts, `spectra` of their weights."""

import polars as pl

from sftlab.analyse.cell_status import model_status
from sftlab.analyse.schemas import DIMENSIONS, LOGLIKS, SPECTRA, Schema, from_rows
from sftlab.store import Store
from sftlab.study.cells import Cells


def dimensions_table(cells: Cells, store: Store) -> pl.DataFrame:
    """Intrinsic dimension of the last prompt token's hidden states: one row a checkpoint and layer."""
    return _stacked("dimension", cells, store, DIMENSIONS)


def logliks_table(cells: Cells, store: Store) -> pl.DataFrame:
    """Log-likelihood of each probe text: one row a checkpoint and text."""
    return _stacked("loglik", cells, store, LOGLIKS)


def spectra_table(cells: Cells, store: Store) -> pl.DataFrame:
    """Spectrum of the change of each matrix: one row a checkpoint and tensor."""
    return _stacked("weight_spectrum", cells, store, SPECTRA)


def _stacked(measure: str, cells: Cells, store: Store, schema: Schema) -> pl.DataFrame:
    """What each cell left; one that is not done is a row without a layer, text or tensor."""
    runs = {run.spec.run: run for run in cells.runs}
    rows: list[dict[str, object]] = []
    for cell in cells.probes:
        if cell.measure != measure:
            continue
        status = model_status(cell, runs.get(cell.run or ""), store)
        own = {"checkpoint": cell.checkpoint, "base": cell.base, "run": cell.run, "epoch": cell.epoch}
        common = {"status": status.status, "reason": status.reason}
        raw = store.rows(cell.identity, measure) if status.status == "done" else None
        found = [{}] if raw is None else raw.to_dicts()
        rows.extend({**own, **common, **row} for row in found)
    return from_rows(rows, schema)

"""Tables of runs: `runs`, `checkpoints`, `losses`, `validation`, `layers`."""

from collections.abc import Iterator, Mapping
from typing import cast

import polars as pl
from scipy import stats

from sftlab.analyse.cell_status import cell_status
from sftlab.analyse.choice import scored_epoch, standings
from sftlab.analyse.intervals import CONFIDENCE
from sftlab.analyse.schemas import CHECKPOINTS, LAYERS, LOSSES, RUNS, VALIDATION, Schema, conformed, empty, from_rows
from sftlab.store import Store
from sftlab.study.cells import Cells, RunCell
from sftlab.study.run import RunSpec

TRAINED = ("tokens", "steps", "loss_first", "loss_last", "wall_seconds", "peak_memory_bytes")
COUNTED = ("examples", "dropped", "truncated")


def runs_table(cells: Cells, store: Store) -> pl.DataFrame:
    """Every run of the study with its recipe, its status and what training it took."""
    stand = standings(cells.runs, store)
    return from_rows([_run_row(cell, store, stand[cell.spec.run].chosen) for cell in cells.runs], RUNS)


def recipe_columns(spec: RunSpec) -> dict[str, object]:
    """What the tables `runs` and `scores` both say of a run; `seed` is the one that draws the examples."""
    return {
        "run": spec.run,
        "base": spec.base,
        "dataset": spec.dataset,
        "samples": spec.samples,
        "method": spec.method_name,
        "learning_rate": spec.learning_rate,
        "batch_size": spec.batch_size,
        "schedule": spec.schedule,
        "epochs": spec.epochs if spec.steps is None else None,
        "fixed_steps": spec.steps,
        "seed": spec.seeds.sample,
        "order_seed": spec.seeds.order,
        "init_seed": spec.seeds.init,
    }


def _run_row(cell: RunCell, store: Store, chosen: bool | None) -> dict[str, object]:
    spec, status, record = cell.spec, cell_status(cell.identity, store), store.record(cell.identity)
    result: Mapping[str, object] = record.result if record else {}
    return {
        **recipe_columns(spec),
        "family": cell.family,
        "adapter": spec.method.adapter,
        "precision": f"weights {spec.precision.weights}, compute {spec.precision.compute}",
        "status": status.status,
        "reason": status.reason,
        **{name: result.get(name) for name in (*TRAINED, *COUNTED)},
        "reduction": spec.method.reduction,
        "weight_decay": spec.method.weight_decay,
        "decay": spec.method.decay if spec.method.weight_decay > 0 else None,
        "out_of_memory": result.get("unfit"),
        "events": "; ".join(cast("list[str]", result.get("events", []))) or None,
        "device": record.provenance.get("device") if record else None,
        "kernel": record.provenance.get("kernel") if record else None,
        "chosen": chosen,
        "scored_epoch": scored_epoch(cell, store),
        "identity": cell.identity,
    }


def checkpoints_table(cells: Cells, store: Store) -> pl.DataFrame:
    """Checkpoints that finished runs left, with their size; `path` where the weights are kept. Others by status.

    `best` marks the one of lowest validation loss of each run, where the study keeps that one.
    """
    rows: list[dict[str, object]] = []
    for cell in cells.runs:
        status = cell_status(cell.identity, store)
        raw = store.rows(cell.identity, "checkpoints")
        left = raw.iter_rows(named=True) if raw is not None else [{"epoch": cell.spec.epochs}]
        best = scored_epoch(cell, store) if cell.keeps_best else None
        for row in left:
            folder = store.checkpoint_folder(cell.trajectory, row["epoch"])
            rows.append(
                {
                    "checkpoint": cell.checkpoint(row["epoch"]),
                    "run": cell.spec.run,
                    **row,
                    "path": str(folder) if folder.is_dir() else None,
                    "best": None if best is None else row["epoch"] == best,
                    "status": status.status,
                    "reason": status.reason,
                }
            )
    return from_rows(rows, CHECKPOINTS)


def losses_table(cells: Cells, store: Store) -> pl.DataFrame:
    """Training loss of every optimizer step of finished runs."""
    return _stacked((frame for _, frame in _raw(cells, store, "losses")), LOSSES)


def validation_table(cells: Cells, store: Store) -> pl.DataFrame:
    """Loss and bits per byte of held-out examples after each epoch, 0 being the base.

    Standard error and interval (Student's t over examples) are those of the bits per byte; no end is below 0.
    """

    def with_interval(frame: pl.DataFrame) -> pl.DataFrame:
        quantiles = [
            float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) if n is not None and n > 1 else None for n in frame["n"]
        ]
        half = pl.col("se") * pl.Series(quantiles, dtype=pl.Float64)
        low, high = pl.col("bits_per_byte") - half, pl.col("bits_per_byte") + half
        return frame.with_columns(ci_low=low.clip(lower_bound=0.0), ci_high=high)

    frames = (with_interval(conformed(frame, VALIDATION)) for _, frame in _raw(cells, store, "validation"))
    return _stacked(frames, VALIDATION)


def layers_table(cells: Cells, store: Store) -> pl.DataFrame:
    """Weight change of every checkpoint of finished runs: Frobenius norm of the difference over that of the base."""

    def labelled(cell: RunCell, frame: pl.DataFrame) -> pl.DataFrame:
        labels = [cell.checkpoint(epoch) for epoch in frame["epoch"]]
        return frame.with_columns(pl.Series("checkpoint", labels, dtype=pl.String))

    return _stacked((labelled(cell, frame) for cell, frame in _raw(cells, store, "layers")), LAYERS)


def _raw(cells: Cells, store: Store, name: str) -> Iterator[tuple[RunCell, pl.DataFrame]]:
    for cell in cells.runs:
        frame = store.rows(cell.identity, name)
        if frame is not None and not frame.is_empty():
            yield cell, frame.with_columns(pl.lit(cell.spec.run).alias("run"))


def _stacked(frames: Iterator[pl.DataFrame], schema: Schema) -> pl.DataFrame:
    return pl.concat([empty(schema), *(conformed(frame, schema) for frame in frames)])

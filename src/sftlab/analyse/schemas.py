"""Columns of the contract tables, in order; what the study's own columns are called is a promise to users."""

from collections.abc import Mapping

import polars as pl

TEXT, REAL, COUNT, TRUTH = pl.String(), pl.Float64(), pl.Int64(), pl.Boolean()
Schema = Mapping[str, pl.DataType]

RUNS: Schema = {
    "run": TEXT,
    "base": TEXT,
    "family": TEXT,
    "dataset": TEXT,
    "samples": COUNT,
    "method": TEXT,
    "adapter": TEXT,
    "learning_rate": REAL,
    "schedule": TEXT,
    "epochs": COUNT,
    "seed": COUNT,
    "precision": TEXT,
    "status": TEXT,
    "reason": TEXT,
    "tokens": COUNT,
    "steps": COUNT,
    "loss_first": REAL,
    "loss_last": REAL,
    "wall_seconds": REAL,
    "peak_memory_bytes": COUNT,
    "device": TEXT,
    "order_seed": COUNT,
    "init_seed": COUNT,
    "batch_size": COUNT,
    "examples": COUNT,
    "dropped": COUNT,
    "truncated": COUNT,
    "chosen": TRUTH,
    "identity": TEXT,
    "fixed_steps": COUNT,
    "scored_epoch": COUNT,
    "reduction": TEXT,
    "weight_decay": REAL,
    "decay": TEXT,
    "out_of_memory": COUNT,
    "events": TEXT,
    "kernel": TEXT,
}
CHECKPOINTS: Schema = {
    "checkpoint": TEXT,
    "run": TEXT,
    "epoch": COUNT,
    "num_bytes": COUNT,
    "path": TEXT,
    "status": TEXT,
    "reason": TEXT,
    "best": TRUTH,
}
SCORES: Schema = {
    "checkpoint": TEXT,
    "run": TEXT,
    "base": TEXT,
    "family": TEXT,
    "dataset": TEXT,
    "samples": COUNT,
    "method": TEXT,
    "schedule": TEXT,
    "epoch": COUNT,
    "seed": COUNT,
    "benchmark": TEXT,
    "scorer": TEXT,
    "metric": TEXT,
    "value": REAL,
    "n": COUNT,
    "se": REAL,
    "ci_low": REAL,
    "ci_high": REAL,
    "unparsed": COUNT,
    "gain": REAL,
    "gain_ci_low": REAL,
    "gain_ci_high": REAL,
    "status": TEXT,
    "reason": TEXT,
    "gain_se": REAL,
    "gain_n": COUNT,
    "unfit": COUNT,
    "strata": COUNT,
    "higher_is_better": TRUTH,
    "main": TRUTH,
    "learning_rate": REAL,
    "epochs": COUNT,
    "order_seed": COUNT,
    "init_seed": COUNT,
    "chosen": TRUTH,
    "identity": TEXT,
    "batch_size": COUNT,
    "fixed_steps": COUNT,
    "unjudged": COUNT,
    "engine": TEXT,
    "noise": REAL,
    "clusters": COUNT,
}
ITEMS: Schema = {
    "checkpoint": TEXT,
    "benchmark": TEXT,
    "item": TEXT,
    "scorer": TEXT,
    "score": REAL,
    "log_likelihood": REAL,
    "num_bytes": COUNT,
    "answer": TEXT,
    "parsed": TRUTH,
    "metric": TEXT,
    "stratum": TEXT,
    "status": TEXT,
    "reason": TEXT,
    "verdict": TEXT,
    "cluster": TEXT,
    "written": TEXT,
}
QUESTIONS: Schema = {
    "benchmark": TEXT,
    "item": TEXT,
    "stratum": TEXT,
    "prompt": TEXT,
    "gold": TEXT,
}
LOSSES: Schema = {
    "run": TEXT,
    "step": COUNT,
    "epoch": REAL,
    "loss": REAL,
    "learning_rate": REAL,
    "grad_norm": REAL,
    "tokens": COUNT,
}
VALIDATION: Schema = {
    "run": TEXT,
    "epoch": COUNT,
    "loss": REAL,
    "bits_per_byte": REAL,
    "n": COUNT,
    "se": REAL,
    "ci_low": REAL,
    "ci_high": REAL,
    "num_tokens": COUNT,
}
DATA: Schema = {
    "base": TEXT,
    "dataset": TEXT,
    "samples": COUNT,
    "seed": COUNT,
    "property": TEXT,
    "value": REAL,
    "n": COUNT,
    "ci_low": REAL,
    "ci_high": REAL,
    "se": REAL,
    "measure": TEXT,
    "status": TEXT,
    "reason": TEXT,
    "benchmark": TEXT,
}
LAYERS: Schema = {
    "checkpoint": TEXT,
    "layer": COUNT,
    "depth": REAL,
    "part": TEXT,
    "relative_change": REAL,
    "change_norm": REAL,
    "base_norm": REAL,
    "run": TEXT,
    "epoch": COUNT,
}
DIMENSIONS: Schema = {
    "checkpoint": TEXT,
    "base": TEXT,
    "layer": COUNT,
    "depth": REAL,
    "dimension": REAL,
    "ci_low": REAL,
    "ci_high": REAL,
    "se": REAL,
    "n": COUNT,
    "duplicates": COUNT,
    "discard_fraction": REAL,
    "run": TEXT,
    "epoch": COUNT,
    "status": TEXT,
    "reason": TEXT,
}
LOGLIKS: Schema = {
    "checkpoint": TEXT,
    "base": TEXT,
    "text": TEXT,
    "log_likelihood": REAL,
    "num_bytes": COUNT,
    "num_tokens": COUNT,
    "domain": TEXT,
    "language": TEXT,
    "run": TEXT,
    "epoch": COUNT,
    "status": TEXT,
    "reason": TEXT,
}
SPECTRA: Schema = {
    "checkpoint": TEXT,
    "base": TEXT,
    "tensor": TEXT,
    "layer": COUNT,
    "depth": REAL,
    "part": TEXT,
    "rows": COUNT,
    "columns": COUNT,
    "change_norm": REAL,
    "stable_rank": REAL,
    "energy_1": REAL,
    "energy_4": REAL,
    "energy_16": REAL,
    "run": TEXT,
    "epoch": COUNT,
    "status": TEXT,
    "reason": TEXT,
}

CONTRACT: Mapping[str, Schema] = {
    "runs": RUNS,
    "checkpoints": CHECKPOINTS,
    "scores": SCORES,
    "items": ITEMS,
    "questions": QUESTIONS,
    "losses": LOSSES,
    "validation": VALIDATION,
    "data": DATA,
    "layers": LAYERS,
    "dimensions": DIMENSIONS,
    "logliks": LOGLIKS,
    "spectra": SPECTRA,
}


def conformed(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """A frame with exactly these columns and types; a column it lacks is null, and so is NaN: both mean unknown."""
    return frame.select(
        _column(name, kind) if name in frame.columns else pl.lit(None, dtype=kind).alias(name)
        for name, kind in schema.items()
    )


def _column(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name).cast(kind)
    return column.fill_nan(None) if kind == REAL else column


def empty(schema: Schema) -> pl.DataFrame:
    """No rows of these columns."""
    return pl.DataFrame(schema=dict(schema))


def from_rows(rows: list[dict[str, object]], schema: Schema) -> pl.DataFrame:
    """Rows as a frame with exactly these columns and types; what a row does not have is null."""
    return pl.DataFrame({name: [row.get(name) for row in rows] for name in schema}, schema=dict(schema), strict=False)

"""Write what docs/tiny-models-study.md tells of a study beside this file: python export.py STUDY STORE [FOLDER]."""

import gzip
import sys
from pathlib import Path

import polars as pl

import sftlab

DIGESTS = {"identity", "checkpoint"}
PROVENANCE = {"reason", "events", "kernel", "device", "wall_seconds", "peak_memory_bytes", "engine", "noise"}
NOT_KEPT = DIGESTS | PROVENANCE | {"change_norm", "base_norm"}


def export(study: Path, store: Path, folder: Path) -> None:
    """The tables that the answers follow from, without what is named by digests; and three answers that need items."""
    opened = sftlab.open(study, store)
    frames = {name: getattr(opened, name)() for name in ("runs", "scores", "data", "layers")}
    frames["layers"] = frames["layers"].filter(pl.col("epoch") == pl.col("epoch").max())
    frames |= {name: getattr(opened.analysis, name) for name in ("ranking", "gains", "comparisons")}
    for name, frame in frames.items():
        empty = {column for column in frame.columns if frame[column].null_count() == frame.height}
        kept = frame.drop(column for column in frame.columns if column in NOT_KEPT or column in empty)
        rounded = kept.with_columns(pl.col(pl.Float64).round_sig_figs(5))
        (folder / f"{name}.csv.gz").write_bytes(gzip.compress(rounded.write_csv().encode(), mtime=0))


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if sys.argv[3:] else Path(__file__).parent)

"""The command line as a user runs it, on a small pocket study."""

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl

from sftlab.pocket.files import PocketDesign, write_pocket_study

PROVENANCE = {"wall_seconds", "device", "peak_memory_bytes", "path", "kernel"}
SMALL = PocketDesign(
    bases=("llama-facts", "neox-skills"), datasets=("facts", "arithmetic"), samples=32, epochs=2, items=12
)


def small_study(folder: Path, design: PocketDesign = SMALL) -> Path:
    """A study of two pocket bases, two datasets and two methods: four to eight runs of a few seconds."""
    return write_pocket_study(folder, design=design)


def command(*words: str | Path) -> list[str]:
    """The command line of one verb."""
    return [sys.executable, "-c", "from sftlab.cli import main; main()", *map(str, words)]


def sftlab(*words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a verb to its end and expect its exit code."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command(*words), check=False, capture_output=True, text=True, env=environment, timeout=900)
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def table(study: Path, name: str, store: Path) -> pl.DataFrame:
    """A table through the command line."""
    rows = json.loads(sftlab("table", study, name, "--store", store, "--format", "json").stdout)
    return pl.DataFrame(rows, infer_schema_length=None)


def assert_equal_tables(study: Path, one: Path, other: Path) -> None:
    """All tables of two stores are equal but for provenance, bit by bit."""
    for name in ("runs", "checkpoints", "scores", "items", "losses", "validation", "data", "layers"):
        left, right = (table(study, name, store) for store in (one, other))
        kept = [column for column in left.columns if column not in PROVENANCE]
        assert left.height > 0
        assert left.select(kept).equals(right.select(kept)), name

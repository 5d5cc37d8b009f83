"""Whole studies in this process: what the command line does, without starting it."""

from pathlib import Path

import polars as pl

from sftlab.analyse.tables import table
from sftlab.cli.working import do_missing
from sftlab.execute.session import Outcome
from sftlab.plan.opening import Opened, open_study
from sftlab.pocket.files import PocketDesign
from tests.end_to_end.flow import PROVENANCE, small_study

TINY = PocketDesign(bases=("llama-facts",), datasets=("facts",), samples=32, items=4)


def study_of(folder: Path, name: str, **lines: str) -> Path:
    """The tiny study with some of its lines replaced, by the name of their field."""
    text = small_study(folder, TINY).read_text()
    for line in text.splitlines():
        field = line.partition(":")[0].strip()
        if field in lines:
            text = text.replace(line, f"{line.partition(':')[0]}: {lines[field]}")
    study = folder / f"{name}.yaml"
    study.write_text(text)
    return study


def without_benchmarks(study: Path) -> Path:
    """The same study with nothing to score or measure."""
    study.write_text(study.read_text().partition("evaluation:")[0] + "measures: []\n")
    return study


def run(study: Path, store: Path) -> Outcome:
    """Do what is missing."""
    return do_missing(opened(study, store), on="inline", workers=1)


def opened(study: Path, store: Path) -> Opened:
    """A study as the store has it now."""
    return open_study(study, store)


def rows(study: Path, name: str, store: Path) -> pl.DataFrame:
    """A table without provenance."""
    now = opened(study, store)
    frame = table(name, now.resolved.cells, now.store)
    return frame.select(column for column in frame.columns if column not in PROVENANCE)


def assert_equal_rows(study: Path, one: Path, other: Path) -> None:
    """All tables of runs and scores are equal in two stores."""
    for name in ("runs", "checkpoints", "scores", "items", "losses", "validation", "layers"):
        assert rows(study, name, one).equals(rows(study, name, other)), name

"""The head of the page: what the study varies, how far it has come, and on what it was made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from sftlab.report.context import ReportContext
from sftlab.report.text import counted, listed

STATUSES = ("done", "running", "failed", "unfit", "pending")


@dataclass(frozen=True)
class Factor:
    """One thing the study varies: how many levels it has, and which."""

    title: str
    count: int
    levels: str
    all_levels: str


@dataclass(frozen=True)
class Part:
    """How many cells have one status."""

    status: str
    count: int


@dataclass(frozen=True)
class Progress:
    """How far one kind of cell has come."""

    title: str
    sentence: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Overview:
    """Everything in the head of the page but the name and the free text."""

    factors: tuple[Factor, ...]
    progress: tuple[Progress, ...]
    provenance: str


def overview(tables: Mapping[str, pl.DataFrame], context: ReportContext) -> Overview:
    """The head of the page, from the tables `runs` and `scores` and the context."""
    runs, scores = tables.get("runs", pl.DataFrame()), tables.get("scores", pl.DataFrame())
    factors = (
        _factor("Bases", _levels(runs, "base") or _levels(scores, "base")),
        _factor("Datasets", _levels(runs, "dataset")),
        _factor("Methods", _levels(runs, "method")),
        _factor("Sample sizes", [f"{size:,}" for size in _levels(runs, "samples") if isinstance(size, int)]),
        _factor("Epochs", _levels(runs, "epochs")),
        _factor("Schedules", _levels(runs, "schedule")),
        _factor("Seeds", _levels(runs, "seed")),
        _factor("Benchmarks", _levels(scores, "benchmark")),
    )
    if context.counts:
        progress = [_progress("Cells", context.counts)]
    else:
        progress = [
            _progress(title, _by_status(frame)) for title, frame in (("Runs", runs), ("Scores", scores)) if frame.height
        ]
    return Overview(tuple(factor for factor in factors if factor.count), tuple(progress), _provenance(runs, context))


def _levels(frame: pl.DataFrame, column: str) -> list[object]:
    return frame[column].drop_nulls().unique(maintain_order=True).to_list() if column in frame.columns else []


def _factor(title: str, levels: Sequence[object]) -> Factor:
    return Factor(title, len(levels), listed(levels, at_most=4), listed(levels, at_most=len(levels)))


def _by_status(frame: pl.DataFrame) -> dict[str, int]:
    counts = frame["status"].value_counts()
    return dict(zip(counts["status"].to_list(), counts["count"].to_list(), strict=True))


def _progress(title: str, counts: Mapping[str, int]) -> Progress:
    order = [*STATUSES, *(status for status in counts if status not in STATUSES)]
    parts = tuple(Part(status, counts[status]) for status in order if counts.get(status))
    total = sum(part.count for part in parts)
    tally = ", ".join(f"{part.count:,} {part.status}" for part in parts)
    return Progress(title, f"{tally} of {total:,}." if parts else "none declared.", parts)


def _provenance(runs: pl.DataFrame, context: ReportContext) -> str:
    facts = [f"Report of {context.created:%Y-%m-%d %H:%M}"]
    if context.machine:
        facts.append(f"on {context.machine}")
    devices = _levels(runs, "device")
    if devices:
        facts.append(f"trained on {listed(devices)}")
    precisions = _levels(runs, "precision")
    if precisions:
        facts.append(f"precision {listed(precisions)}")
    seconds = runs["wall_seconds"].drop_nulls() if "wall_seconds" in runs.columns else pl.Series([], dtype=pl.Float64)
    if seconds.len():
        facts.append(f"{_duration(float(seconds.sum()))} of training over {counted(seconds.len(), 'run')}")
    facts.extend(f"{package} {version}" for package, version in context.versions.items())
    return " · ".join(facts)


def _duration(seconds: float) -> str:
    for unit, size in (("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"

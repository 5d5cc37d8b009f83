"""What is asked of a table: which cells, and whether the table can answer at all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sftlab.analyse.wording import listed_briefly
from sftlab.errors import StudyError
from sftlab.predict.gain_table import GainTable, Mask
from sftlab.predict.left_out import Question

FEWEST_DATASETS = 4
"""Datasets below which nothing is learned from their properties."""


@dataclass(frozen=True)
class Asked:
    """Which bases, datasets and benchmarks; of those not named all, and of neither base nor dataset what is untried."""

    bases: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    benchmarks: tuple[str, ...] = ()


EVERYTHING = Asked()


def asked_cells(table: GainTable, asked: Asked) -> Mask:
    """Cells without a known gain that are asked for (B x D x K). Raises StudyError for a name that is not there."""
    benchmarks = tuple(scale.benchmark for scale in table.scales)
    of_bases = _picked(
        asked.bases, table.bases, "base", "A base is told once the study names it and its own scores are in"
    )
    of_datasets = _picked(
        asked.datasets,
        table.datasets,
        "dataset",
        "Mixtures of datasets that are tried alone are not told; data outside it are, from their properties, once they "
        "are among the study's `datasets` with `measures` and that was run",
    )
    of_benchmarks = _picked(asked.benchmarks, benchmarks, "benchmark", "Only benchmarks with gains can be told")
    return ~table.known & of_bases[:, None, None] & of_datasets[:, None] & of_benchmarks


def is_asked(table: GainTable, asked: Asked, base: int, benchmark: int) -> bool:
    """Whether a base with gains was asked for by name, so that what was seen of it is shown."""
    name = table.scales[benchmark].benchmark
    of_benchmark = not asked.benchmarks or name in asked.benchmarks
    return of_benchmark and table.bases[base] in asked.bases and bool(table.known[base, :, benchmark].any())


def _picked(names: Sequence[str], known: Sequence[str], noun: str, advice: str) -> Mask:
    for name in names:
        if name not in known:
            there = f"it has {listed_briefly(known)}" if known else "it has none with gains"
            raise StudyError(f"there is no {noun} {name!r} to predict for in this study: {there}. {advice}")
    return np.array([not names or name in names for name in known], dtype=np.bool_)


def question_of(table: GainTable, base: int, dataset: int, benchmark: int) -> Question:
    """What kind of question a cell is, on its benchmark."""
    known = table.known[:, :, benchmark]
    if not known[:, dataset].any():
        return "new_dataset"
    return "gap" if known[base].any() else "new_base"


def why_not(table: GainTable, base: int, dataset: int, benchmark: int) -> str | None:
    """Why the table cannot answer for a cell, as a clause; None where it can."""
    known = table.known[:, :, benchmark]
    name = table.scales[benchmark].benchmark
    families = {table.families[place] for place in np.flatnonzero(known.any(axis=1))}
    units = {table.units[place] for place in np.flatnonzero(known.any(axis=0))}
    if len(units) < 2:
        return f"on {name} gains of one dataset alone are known: there is nothing to learn from how datasets differ"
    if np.ptp(table.gain[:, :, benchmark][known]) == 0:
        return f"on {name} all gains are equal: there is nothing to learn from how datasets differ"
    if not known[base].any() and len(families) < 2:
        return f"on {name} gains of one {table.family_noun} alone are known, which say nothing of a new base"
    return None if known[:, dataset].any() else _why_not_new(table, dataset, benchmark, len(units))


def _why_not_new(table: GainTable, dataset: int, benchmark: int, units: int) -> str | None:
    """Why nothing can be said of a dataset that no base has tried."""
    if not any(np.isfinite(values[:, dataset, benchmark]).any() for values in table.properties.values()):
        return (
            f"nothing is known of {table.datasets[dataset]} but its name: none of its properties (`measures` in the "
            "study, such as perplexity and length) has been measured yet"
        )
    if units < FEWEST_DATASETS:
        name = table.scales[benchmark].benchmark
        return f"on {name} gains of {units} datasets are known, too few to learn from their properties"
    return None

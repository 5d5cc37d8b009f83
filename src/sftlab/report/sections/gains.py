"""Gains, cell by cell."""

from typing import Literal

import polars as pl

from sftlab.report.blocks import Block, CellPicker, Panel, Section, Variant
from sftlab.report.figures.gains import Places, gain_map
from sftlab.report.sections.material import Material, counting
from sftlab.report.sections.models import has_models
from sftlab.report.sections.outcomes import Outcome, caveats_on, found_on, general_prose, outcomes
from sftlab.report.text import counted

ALL_METHODS = "all"
NARROW = 6
COLOURS_END_AT = 0.95


def gains(material: Material) -> Section:
    """A map of base x dataset cells for every benchmark, and for every method where there are several."""
    analysis = material.analysis
    variants = [
        _map(material, outcome, method)
        for outcome in outcomes(analysis.gains)
        for method in _methods(analysis.gains, outcome)
    ]
    blocks: list[Block] = [general_prose(analysis, "gains", variants, "No base x dataset cell has a gain yet.")]
    if variants:
        note = (
            "Gain over the base itself: blue is better, orange is worse. Pale, in brackets: the sign cannot be told "
            "(corrected over the grid). Hatched cells have no result. Hover for interval and n, or for the reason; "
            "click for the runs behind a cell."
        )
        blocks.append(
            Panel(
                "map",
                "Gain of every base and dataset",
                "Benchmark",
                tuple(variants),
                _layout(material, variants),
                note=note,
            )
        )
    if has_models(material):
        names = tuple(dict.fromkeys(outcome.benchmark for outcome in outcomes(analysis.gains)))
        blocks.append(CellPicker(material.palette.bases, material.palette.datasets, names))
    question = "How do base, data and benchmark interact?"
    return Section("gains", "Gains", question, tuple(blocks))


def _layout(material: Material, variants: list[Variant]) -> Literal["select", "grid"]:
    """Side by side where few and narrow, for print and for comparing."""
    return "grid" if len(variants) <= 4 and len(material.palette.datasets) <= NARROW else "select"


def _methods(frame: pl.DataFrame, outcome: Outcome) -> list[str]:
    methods: list[str] = outcome.rows(frame)["method"].unique(maintain_order=True).to_list()
    single = [method for method in methods if method != ALL_METHODS]
    if ALL_METHODS not in methods:
        return single
    return [ALL_METHODS, *single] if outcome.main and len(single) > 1 else [ALL_METHODS]


def _map(material: Material, outcome: Outcome, method: str) -> Variant:
    of_outcome = outcome.shown(material.analysis.gains, "gain", "ci_low", "ci_high")
    cells = of_outcome.filter(pl.col("method") == method)
    known = counting(cells.drop_nulls("gain").rename({"gain": "value"}), "run", "runs")
    known = known.with_columns(counted=pl.format("{}{}", "counted", _items()))
    missing = cells.filter(pl.col("gain").is_null())
    limit = of_outcome["gain"].abs().quantile(COLOURS_END_AT, interpolation="higher")
    places = Places(material.palette.bases, material.palette.datasets, limit or 1.0)
    several = of_outcome["method"].n_unique() > 2
    of_methods = "all methods" if method == ALL_METHODS else method
    label = f"{outcome.benchmark}, {of_methods}" if several else outcome.benchmark
    sentences = found_on(material.analysis, "gains", outcome.benchmark)
    told = sentences if outcome.main and method == ALL_METHODS else ()
    lacking = (f"{counted(missing.height, 'cell')} without a gain.",) if missing.height else ()
    found = told or (_tally(known), *lacking)
    facets = outcome.facets if method == ALL_METHODS else {**outcome.facets, "method": method}
    figure = gain_map(known, missing, places, outcome.shown_unit)
    caveats = caveats_on(material.analysis, "gains", outcome.benchmark) if told else ()
    return Variant(label, figure, found, outcome.detail, facets, caveats)


def _items() -> pl.Expr:
    """How many items a gain is of, where they are known."""
    items = pl.col("items").fill_null(0)
    return pl.when(items > 0).then(pl.format(", {} items", items)).otherwise(pl.lit(""))


def _tally(known: pl.DataFrame) -> str:
    if known.is_empty():
        return "No cell has a gain yet."
    better = known.filter(pl.col("verdict") == "higher").height
    worse = known.filter(pl.col("verdict") == "lower").height
    return (
        f"Of {counted(known.height, 'cell')} with a gain, {better} surely gained and {worse} surely lost (corrected "
        f"over the grid); the sign of the other {known.height - better - worse} cannot be told."
    )

"""Do gains carry over to other languages: the same questions asked in several, over datasets within bases."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import polars as pl

from sftlab.analyse.effects import Effect, Finding
from sftlab.analyse.frames import framed
from sftlab.analyse.gain_sets import GainSet
from sftlab.analyse.intervals import correlation
from sftlab.analyse.properties import (
    NO_MIXTURES,
    Sources,
    cell_gains,
    correlated_within,
    correlation_columns,
    family_cells,
    independent_datasets,
)
from sftlab.analyse.verdicts import CANNOT_TELL, HIGHER, LOWER, TOO_SMALL, Row, adjust
from sftlab.analyse.wording import counted, interval, signed

SUBJECT = "transfer"
LANGUAGES = {"mmlu": "English", "cmmlu": "Chinese", "jmmlu": "Japanese", "mmmlu_ja": "Japanese", "mmlu_ja": "Japanese"}
"""Benchmarks of school and university questions that differ in their language above all."""


def language_of(benchmark: str) -> str | None:
    """The language of a benchmark called so, or so with shots or a part behind it; None of any other benchmark."""
    plain = benchmark.lower().replace("-", "_")
    found = [name for name in LANGUAGES if plain == name or plain.startswith(f"{name}_")]
    return LANGUAGES[max(found, key=len)] if found else None


def transfer_frame(sets: Sequence[GainSet], agreement: pl.DataFrame, sources: Sources = NO_MIXTURES) -> pl.DataFrame:
    """Frame `transfer`: correlation of gains on two languages' versions of a benchmark.

    Over family x dataset cells, centred by family, so that only differences between datasets count; intervals are
    Fisher's z with as many units as there are datasets, p-values are adjusted (Benjamini & Hochberg) over pairs. Main
    metrics. `centred` is the correlation in `agreement`, with what a dataset gains on all benchmarks taken out as well.
    """
    spoken_sets = [(language, one) for one in sets if one.main and (language := language_of(one.key[0])) is not None]
    pairs = {
        frozenset((row["level"], row["other"])): row["correlation"]
        for row in agreement.filter(pl.col("factor") == "benchmark").to_dicts()
    }
    rows: list[Row] = []
    for (language, one), (other_language, other) in combinations(spoken_sets, 2):
        if language == other_language:
            continue
        names: Row = {"benchmark": one.key[0], "other": other.key[0]}
        names |= {"language": language, "other_language": other_language}
        found = _correlated(one, other, sources)
        if found is not None:
            rows.append({**names, **found, "centred": pairs.get(frozenset((one.key[0], other.key[0])))})
    adjust(rows)
    return framed("transfer", rows)


def _correlated(one: GainSet, other: GainSet, sources: Sources) -> Row | None:
    joined = cell_gains(one).join(
        cell_gains(other).select("base", "dataset", pl.col("gain").alias("other_gain")),
        on=["base", "dataset"],
        maintain_order="left",
    )
    if joined.is_empty():
        return None
    cells = family_cells(joined, "gain", "other_gain")
    units = independent_datasets(cells["dataset"], sources)
    within = correlated_within(cells["gain"].to_numpy(), cells["other_gain"].to_numpy(), cells)
    return {**correlation_columns(correlation(*within, n=units), units), "cells": cells.height}


def transfer_findings(transfer: pl.DataFrame) -> Iterator[Finding]:
    """One sentence for each pair of languages' versions."""
    said = {
        HIGHER: "gains carry over",
        LOWER: "what gains on one loses on the other",
        CANNOT_TELL: "whether gains carry over cannot be told",
        TOO_SMALL: "the study is too small to tell whether gains carry over",
    }
    for row in transfer.filter(pl.col("correlation").is_not_null()).to_dicts():
        centred = "" if row["centred"] is None else f"; {signed(row['centred'])} after double centring"
        text = (
            f"From {row['benchmark']} ({row['language']}) to {row['other']} ({row['other_language']}), "
            f"{said[row['verdict']]}: over datasets within bases r = {signed(row['correlation'])} {interval(row)} "
            f"(n = {counted(row['n'], 'dataset')}, {counted(row['cells'], 'cell')}{centred})."
        )
        effect = Effect(
            name=f"gains on {row['benchmark']} and on {row['other']}",
            estimand="correlation over family x dataset cells, centred by family; units: datasets",
            value=row["correlation"],
            se=None,
            ci_low=row["ci_low"],
            ci_high=row["ci_high"],
            n=row["n"],
            unit="correlation",
            p=row.get("p_adjusted"),
        )
        yield Finding("training", text, None, SUBJECT, effect)

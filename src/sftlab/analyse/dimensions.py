"""Intrinsic dimension of hidden states by relative depth, and what training changed in it."""

from collections.abc import Iterator, Mapping

import numpy as np
import polars as pl

from sftlab.analyse.effects import Effect, Finding
from sftlab.analyse.frames import framed
from sftlab.analyse.gain_sets import codes
from sftlab.analyse.intervals import two_way_mean
from sftlab.analyse.layers import Profile, profiles
from sftlab.analyse.properties import NO_MIXTURES, Sources
from sftlab.analyse.ranking import ends
from sftlab.analyse.verdicts import HIGHER, LOWER, TOO_SMALL, Row, adjust
from sftlab.analyse.wording import counted, interval, listed_briefly, plain, signed

SUBJECT = "dimension"
NOT_TRAINED = "none"


def dimension_frames(
    tables: Mapping[str, pl.DataFrame], sources: Sources = NO_MIXTURES
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Frames `dimension_by_depth` and `dimension_change`, from the tables `runs` and `dimensions`.

    The first has bases as they are (dataset `none`) and chosen runs after their last scored epoch: means over runs of a
    base, dataset and method, and of the ends of their intervals, for all are of the same texts. The second is the mean
    change over family x dataset cells at depths that all bases share, with intervals over families and datasets
    (`two_way_mean`) and p-values adjusted (Benjamini & Hochberg) over depths and methods.
    """
    measured = tables.get("dimensions", pl.DataFrame())
    if measured.is_empty():
        return framed("dimension_by_depth", []), framed("dimension_change", [])
    known = measured.filter(pl.col("dimension").is_not_null())
    of_base = known.filter(pl.col("run").is_null())
    before = of_base.select("base", "layer", pl.col("dimension").alias("before")).unique(["base", "layer"])
    tuned = known.filter(pl.col("run").is_not_null()).join(
        before, on=["base", "layer"], how="left", maintain_order="left"
    )
    tuned = tuned.with_columns(change=pl.col("dimension") - pl.col("before"))
    return _by_depth(of_base, tuned, tables["runs"]), _change(tuned, tables["runs"], sources)


def _by_depth(of_base: pl.DataFrame, tuned: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    families = runs.select("base", "family").unique("base", keep="first")
    chosen = runs.filter(pl.col("chosen").fill_null(value=True)).select(
        "run", "dataset", "method", pl.col("scored_epoch").alias("epoch")
    )
    bases = of_base.with_columns(
        dataset=pl.lit(NOT_TRAINED), method=pl.lit(None, dtype=pl.String), change=pl.lit(None, dtype=pl.Float64)
    )
    last = tuned.join(chosen, on=["run", "epoch"], maintain_order="left")
    columns = ["base", "dataset", "method", "layer", "depth", "dimension", "ci_low", "ci_high", "change", "n"]
    stacked = pl.concat([bases.select(columns), last.select(columns)])
    means = stacked.group_by("base", "dataset", "method", "layer", "depth", maintain_order=True).agg(
        pl.col("dimension", "ci_low", "ci_high", "change").mean(),
        pl.len().alias("models"),
        pl.col("n").min().alias("points"),
    )
    rows = means.join(families, on="base", how="left", maintain_order="left").to_dicts()
    return framed("dimension_by_depth", rows)


def _change(tuned: pl.DataFrame, runs: pl.DataFrame, sources: Sources) -> pl.DataFrame:
    moved = tuned.select("run", "epoch", "depth", pl.lit(SUBJECT).alias("part"), relative_change="change")
    rows = [row for profile in profiles(moved, runs) for row in _of_profile(profile, sources)]
    adjust(rows, "change")
    return framed("dimension_change", rows)


def _of_profile(profile: Profile, sources: Sources) -> Iterator[Row]:
    cells, change_CD = profile.cell_means(sources)
    for depth, change_C in zip(profile.depths, change_CD.T, strict=True):
        estimate = two_way_mean(change_C, codes(cells, "family"), codes(cells, "dataset"))
        counts = {"n": cells["family"].n_unique(), "cells": cells.height}
        named: Row = {"method": profile.method, "depth": depth, "change": estimate.value}
        yield {**named, **ends(estimate), **counts, "p": estimate.p}


def dimension_findings(by_depth: pl.DataFrame, change: pl.DataFrame, units: tuple[str, str]) -> Iterator[Finding]:
    """Where the dimension of the bases peaks, and where training surely changed it.

    `units` says what `n` counts, as one and as several.
    """
    bases = by_depth.filter(pl.col("dataset") == NOT_TRAINED)
    if not bases.is_empty():
        yield Finding("layers", _peaks(bases), subject=SUBJECT)
    for part, rows in change.partition_by("method", as_dict=True, maintain_order=True).items():
        yield _changed(str(part[0]), rows.to_dicts(), units)


def _peaks(bases: pl.DataFrame) -> str:
    told = []
    for part, rows in bases.partition_by("base", as_dict=True, maintain_order=True).items():
        top = rows.row(int(np.argmax(rows["dimension"].to_numpy())), named=True)
        told.append(
            f"{part[0]} at depth {plain(top['depth'])} ({plain(top['dimension'])} "
            f"{interval(top).replace('+', '')}, n = {counted(top['points'], 'text')})"
        )
    return (
        f"Before training, the intrinsic dimension of hidden states (TwoNN, last token of the prompt) is largest in "
        f"{listed_briefly(told)}."
    )


def _changed(method: str, rows: list[Row], units: tuple[str, str]) -> Finding:
    sure = [row for row in rows if row["verdict"] in {HIGHER, LOWER}]
    most = max(sure or rows, key=lambda row: abs(row["change"]))
    depths = counted(len(rows), "depth")
    if sure:
        ups = sum(row["verdict"] == HIGHER for row in sure)
        lead = (
            f"it surely rose at {ups} and fell at {len(sure) - ups} of {depths}, most at depth {plain(most['depth'])}"
        )
    elif all(row["verdict"] == TOO_SMALL for row in rows):
        lead = f"the study is too small to tell a change; the largest is at depth {plain(most['depth'])}"
    else:
        lead = f"at none of {depths} can a change be told; the largest is at depth {plain(most['depth'])}"
    n = f"n = {counted(most['n'], *units)}, {counted(most['cells'], 'cell')}"
    text = f"With {method}, intrinsic dimension: {lead}: {signed(most['change'])} {interval(most)} ({n})."
    effect = Effect(
        name=f"change of intrinsic dimension with {method} at depth {plain(most['depth'])}",
        estimand="mean change over family x dataset cells; units: base families",
        value=most["change"],
        se=most["se"],
        ci_low=most["ci_low"],
        ci_high=most["ci_high"],
        n=most["n"],
        unit="dimensions",
        p=most.get("p_adjusted"),
    )
    return Finding("layers", text, subject=f"{SUBJECT} {method}", effect=effect)

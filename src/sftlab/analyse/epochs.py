"""Gain after every epoch of training: is longer better, where is the peak, and which runs overfit."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from sftlab.analyse.effects import Effect, Finding
from sftlab.analyse.frames import framed
from sftlab.analyse.gain_sets import codes
from sftlab.analyse.intervals import Estimate, Reals, mean, two_way_mean
from sftlab.analyse.metrics import metric_named
from sftlab.analyse.properties import NO_MIXTURES, Sources, family_cells, in_units
from sftlab.analyse.ranking import ends
from sftlab.analyse.verdicts import HIGHER, LOWER, TOO_SMALL, Row, adjust
from sftlab.analyse.wording import amount, counted, interval

GROUP = ("benchmark", "scorer", "metric", "method", "epochs")
SUBJECT = "epoch"
CORRECTED = "what is sure of epochs is corrected for all of them, all methods and all benchmarks"
DECIMALS = 12
"""Of differences: what is left beyond them of equal gains is rounding."""


def epoch_gains_frame(scores: pl.DataFrame, sources: Sources = NO_MIXTURES) -> pl.DataFrame:
    """Frame `epoch_gains`, from the table `scores`: the gain after every epoch, and how much came after it.

    Of chosen runs with a score after every epoch that is scored in their group, so that all epochs are means over the
    same runs; main metrics. A row without a dataset is a mean over family x dataset cells with the interval over
    families and datasets (`two_way_mean`), mixtures of datasets that were tried alone left out; that of one dataset has
    Student's t over families. Intervals take the items as they are. `to_end` is the gain at the last epoch minus that
    after this one, paired by cell; its p-values are adjusted (Benjamini & Hochberg) over epochs, methods and
    benchmarks, apart for the mean and for single datasets. `peak` marks the (first) epoch with the largest mean.
    """
    known = scores.filter(
        pl.col("run").is_not_null()
        & pl.col("gain").is_not_null()
        & pl.col("chosen").fill_null(value=True)
        & pl.col("main").fill_null(value=False)
    )
    known = known.with_columns(epochs=pl.col("epoch").max().over("run", "benchmark"))
    rows: list[Row] = []
    for part, of_group in known.partition_by(*GROUP, as_dict=True, maintain_order=True).items():
        complete = _complete(of_group)
        if complete["epoch"].n_unique() < 2:
            continue
        benchmark, scorer, metric, method, epochs = part
        names: Row = {"benchmark": benchmark, "scorer": scorer, "metric": metric, "main": True}
        names |= {"unit": metric_named(str(metric)).unit, "method": method, "epochs": epochs}
        rows.extend({**names, **row} for row in _of_group(complete, sources))
    for is_mean in (True, False):
        adjust([row for row in rows if row["to_end"] is not None and (row["dataset"] is None) == is_mean], "to_end")
    return framed("epoch_gains", rows)


def _complete(rows: pl.DataFrame) -> pl.DataFrame:
    """Runs that have all the epochs that any has."""
    return rows.filter(pl.col("epoch").n_unique().over("run") == rows["epoch"].n_unique())


def _of_group(rows: pl.DataFrame, sources: Sources) -> Iterator[Row]:
    of_base = rows.group_by("base", "family", "dataset", "epoch", maintain_order=True).agg(pl.col("gain").mean())
    wide = of_base.sort("epoch", maintain_order=True).pivot(
        "epoch", index=["base", "family", "dataset"], values="gain", maintain_order=True
    )
    names = wide.columns[3:]
    units = in_units(wide, sources)
    if not units.is_empty():
        yield from _by_epoch(family_cells(units, *names), names, None)
    datasets = wide["dataset"].unique(maintain_order=True).to_list()
    if len(datasets) > 1:
        for dataset in datasets:
            yield from _by_epoch(family_cells(wide.filter(pl.col("dataset") == dataset), *names), names, dataset)


def _by_epoch(cells: pl.DataFrame, names: Sequence[str], dataset: str | None) -> Iterator[Row]:
    gain_CE = cells.select(names).to_numpy()
    peak = int(np.round(gain_CE.mean(axis=0), DECIMALS).argmax())
    for place, name in enumerate(names):
        gain = _over_cells(cells, gain_CE[:, place], dataset)
        left = _over_cells(cells, np.round(gain_CE[:, -1] - gain_CE[:, place], DECIMALS), dataset)
        row: Row = {"dataset": dataset, "epoch": int(name), "gain": gain.value, **ends(gain)}
        row |= {"n": cells["family"].n_unique(), "cells": cells.height, "peak": place == peak}
        if place == len(names) - 1:
            yield {**row, "p": None, "to_end": None}
        else:
            low_high = {"to_end_low": left.ci_low, "to_end_high": left.ci_high}
            yield {**row, "to_end": left.value, **low_high, "p": left.p}


def _over_cells(cells: pl.DataFrame, value_C: Reals, dataset: str | None) -> Estimate:
    if dataset is not None:
        return mean(value_C)
    return two_way_mean(value_C, codes(cells, "family"), codes(cells, "dataset"))


def epoch_findings(
    gains: pl.DataFrame, validation: pl.DataFrame, runs: pl.DataFrame, units: tuple[str, str]
) -> Iterator[Finding]:
    """Where the mean gain peaks and whether more epochs surely bring or cost anything; which runs overfit."""
    together = gains.filter(pl.col("dataset").is_null())
    curves = together.partition_by(*GROUP, as_dict=True, maintain_order=True)
    if curves:
        yield _overview([rows.to_dicts() for rows in curves.values()])
    for part, rows in curves.items():
        yield _trajectory(str(part[0]), str(part[3]), rows.to_dicts(), units)
    yield from _overfitting(validation, runs)


def _overview(curves: Sequence[list[Row]]) -> Finding:
    """In how many of the curves more epochs surely brought or cost something."""
    grew = sum(any(row["verdict"] == HIGHER for row in rows) for rows in curves)
    fell = sum(any(row["peak"] and row["verdict"] == LOWER for row in rows) for rows in curves)
    text = (
        f"Of {counted(len(curves), 'course')} of gain over the epochs (benchmark x method), {grew} surely grew after "
        f"an epoch before the last, and {fell} surely fell again from the best; the others cannot be told."
    )
    return Finding("training", text, subject="epochs")


def _trajectory(benchmark: str, method: str, rows: list[Row], units: tuple[str, str]) -> Finding:
    peak, last = next(row for row in rows if row["peak"]), rows[-1]
    unit = peak["unit"]
    n = f"n = {counted(peak['n'], *units)}, {counted(peak['cells'], 'cell')}"
    text = (
        f"On {benchmark} with {method}, of {last['epoch']} epochs the gain is largest after {_epoch(peak, last)}: "
        f"{amount(peak['gain'], unit)} {interval(peak, unit)} ({n})"
    )
    if peak is last:
        text += f"; {_since(rows)}"
    else:
        told = {LOWER: "surely lost", HIGHER: "surely won", TOO_SMALL: "too small to tell"}
        after = {**peak, "ci_low": peak["to_end_low"], "ci_high": peak["to_end_high"]}
        text += (
            f"; from there to the last {amount(peak['to_end'], unit)} {interval(after, unit)}, "
            f"{told.get(peak['verdict'], 'which cannot be told from 0')}"
        )
    effect = Effect(
        name=f"gain on {benchmark} with {method} after epoch {peak['epoch']}",
        estimand="mean gain over family x dataset cells after the best epoch (too high by that choice); p of a change",
        value=peak["gain"],
        se=peak["se"],
        ci_low=peak["ci_low"],
        ci_high=peak["ci_high"],
        n=peak["n"],
        unit=unit,
        p=min((row["p_adjusted"] for row in rows[:-1] if row["p_adjusted"] is not None), default=None),
    )
    return Finding("training", f"{text}.", benchmark, SUBJECT, effect, caveats=(CORRECTED,))


def _epoch(peak: Row, last: Row) -> str:
    return "the last" if peak is last else f"epoch {peak['epoch']}"


def _since(rows: Sequence[Row]) -> str:
    """After which epoch the gain surely grew."""
    grown = [row["epoch"] for row in rows if row["verdict"] == HIGHER]
    if grown:
        return f"it surely grew after epoch {max(grown)}"
    if all(row["verdict"] == TOO_SMALL for row in rows[:-1]):
        return "the study is too small to tell it from that of earlier epochs"
    return "it cannot be told from that of earlier epochs"


def _overfitting(validation: pl.DataFrame, runs: pl.DataFrame) -> Iterator[Finding]:
    """How many runs of each method had their lowest held-out loss before the last epoch."""
    if validation.is_empty() or "chosen" not in runs.columns:
        return
    chosen = runs.filter(pl.col("chosen").fill_null(value=True)).select("run", "method")
    known = validation.filter(pl.col("loss").is_not_null()).join(chosen, on="run", maintain_order="left")
    lowest = known.group_by("run", "method", maintain_order=True).agg(
        pl.col("epoch").sort_by("loss", "epoch").first().alias("best"),
        pl.col("epoch").max().alias("last"),
    )
    trained = lowest.filter(pl.col("last") > 1)
    for part, rows in trained.partition_by("method", as_dict=True, maintain_order=True).items():
        early = rows.filter(pl.col("best") < pl.col("last"))
        count = f"{early.height} of {counted(rows.height, 'run')}"
        text = f"With {part[0]}, held-out loss was lowest before the last epoch in {count}"
        if early.height:
            where = np.median(early["best"].to_numpy())
            text += f" (half of those by epoch {where:g}): they overfit their data, whatever benchmarks say"
        yield Finding("training", f"{text}.", subject="overfitting")

"""What a data property says of the gain beyond the base's score and the length, and which property says most."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from sftlab.analyse.frames import framed
from sftlab.analyse.intervals import Estimate, Reals, correlation
from sftlab.analyse.largest import FEWEST_UNITS, jackknife_error, may_be_largest
from sftlab.analyse.properties import (
    ACROSS,
    NO_MIXTURES,
    WITHIN,
    Sources,
    correlation_columns,
    family_cells,
    in_units,
    independent_datasets,
)
from sftlab.analyse.verdicts import LEVEL, Row, adjust

METRIC = ("benchmark", "scorer", "metric", "main", "unit")
LENGTHS = ("response_tokens", "response_bytes")
"""What stands for length: the first of them that was measured."""
BASE_SCORE = "base score"


def partial_correlations_frame(
    points: pl.DataFrame, scores: pl.DataFrame, sources: Sources = NO_MIXTURES
) -> pl.DataFrame:
    """Frame `partial_correlations`: correlation of each property with gain, given the base's score and the length.

    Both are regressed on what is `given`, by least squares over family x dataset cells, and the residuals are
    correlated. `points` is the frame `property_points`, `scores` the table. `across`: given the base's score on the
    benchmark and mean response length. `within`: given a level for each family, which holds its base's score, and the
    length. Intervals are Fisher's z with as many units as in `properties`, less one for each of the two that is given.
    Gain and base score share the error of the base's score, which alone makes them correlate negatively.
    """
    base_scores = _base_scores(scores)
    rows: list[Row] = []
    for part, of_part in points.partition_by(*METRIC, as_dict=True, maintain_order=True).items():
        names = dict(zip(METRIC, part, strict=True))
        known = of_part.join(base_scores, on=["base", "benchmark", "scorer", "metric"], how="left")
        rows.extend({**names, **row} for row in _partials(known, sources))
    for scope in (WITHIN, ACROSS):
        for main in (True, False):
            adjust([row for row in rows if (row["scope"], row["main"]) == (scope, main)])
    return framed("partial_correlations", rows)


def _base_scores(scores: pl.DataFrame) -> pl.DataFrame:
    bases = scores.filter((pl.col("dataset") == "none") & pl.col("value").is_not_null())
    return bases.group_by("base", "benchmark", "scorer", "metric").agg(pl.col("value").mean().alias("base_score"))


def _partials(known: pl.DataFrame, sources: Sources) -> Iterator[Row]:
    measured = set(known["property"])
    length = next((name for name in LENGTHS if name in measured), None)
    lengths = known.filter(pl.col("property") == length).select("base", "dataset", pl.col("value").alias("length"))
    for (name,), rows in known.partition_by("property", as_dict=True, maintain_order=True).items():
        is_length = str(name).removesuffix("_median").endswith(("tokens", "bytes"))
        given_length = length is not None and not is_length
        columns = ["length"] if given_length else []
        with_length = rows.join(lengths, on=["base", "dataset"], how="left") if given_length else rows
        for scope, controls in ((WITHIN, columns), (ACROSS, ["base_score", *columns])):
            complete = with_length.drop_nulls([*controls, "value", "gain"])
            if controls and complete.height:
                yield {"property": name, "scope": scope, **_partial(complete, controls, scope, sources)}


def _partial(points: pl.DataFrame, controls: list[str], scope: str, sources: Sources) -> Row:
    cells = family_cells(points, "value", "gain", *controls)
    families, names = cells["family"].n_unique(), independent_datasets(cells["dataset"], sources)
    controls_NK = cells.select(controls).to_numpy()
    if scope == WITHIN:
        units, levels_NF = names, _levels(cells)
    else:
        units, levels_NF = min(families, names) if families > 1 else names, np.ones((cells.height, 1))
    estimate = partial_correlation(
        cells["value"].to_numpy(),
        cells["gain"].to_numpy(),
        np.hstack([levels_NF, controls_NK]),
        n=units - len(controls),
    )
    labels = ", ".join({"base_score": BASE_SCORE, "length": "length"}[name] for name in controls)
    return {
        "given": labels if scope == ACROSS else f"base, {labels}",
        "cells": cells.height,
        **correlation_columns(estimate, units - len(controls)),
    }


def partial_correlation(x_N: Reals, y_N: Reals, design_NK: NDArray[np.float64], *, n: int) -> Estimate | None:
    """Correlation of what least squares on the columns of the design leaves of both; the design holds the constant.

    `n` is the number of independent units that remain once the controls are paid for. None where nothing is left of
    either variable.
    """
    left = []
    for value_N in (x_N, y_N):
        fitted_N = design_NK @ np.linalg.lstsq(design_NK, value_N, rcond=None)[0]
        residual_N = value_N - fitted_N
        spread = float(np.abs(value_N - value_N.mean()).max(initial=0.0))
        if float(np.abs(residual_N).max(initial=0.0)) <= 1e-9 * max(spread, 1e-300) or spread == 0.0:
            return None
        left.append(residual_N)
    return correlation(*left, n=n)


def strongest_property_frame(points: pl.DataFrame, sources: Sources = NO_MIXTURES) -> pl.DataFrame:
    """Frame `strongest_property`: which property goes most closely with gain within bases, and how sure that is.

    For every property its absolute correlation within families, how far it is `behind` the strongest, and the
    jackknife interval of that over datasets (each left out in turn with all its cells; Student's t). `in_set` is the
    95 % confidence set of the strongest: a property leaves it when some other one is surely stronger, by a one-sided
    test at 5 % over the number of others (Bonferroni). `led` is the share of the leave-one-out samples that it leads.
    Fewer than five datasets have no set, and there `in_set` is null.
    """
    rows: list[Row] = []
    for part, of_part in in_units(points, sources).partition_by(*METRIC, as_dict=True, maintain_order=True).items():
        names = dict(zip(METRIC, part, strict=True))
        rows.extend({**names, **row} for row in _strongest(of_part))
    return framed("strongest_property", rows)


def _strongest(points: pl.DataFrame) -> Iterator[Row]:
    held = points.group_by("property", maintain_order=True).agg(pl.struct("base", "dataset").n_unique().alias("cells"))
    complete = held.filter(pl.col("cells") == held["cells"].max())["property"].to_list()
    cells = {name: family_cells(points.filter(pl.col("property") == name), "value", "gain") for name in complete}
    full = {name: _within(frame) for name, frame in cells.items()}
    known = [name for name in complete if full[name] is not None]
    if not known:
        return
    strength_P = np.array([abs(full[name] or 0.0) for name in known])
    units = cells[known[0]]["dataset"].unique(maintain_order=True).to_list()
    without_UP = np.array([[_within_without(cells[name], unit, full[name] or 0.0) for name in known] for unit in units])
    best = int(strength_P.argmax())
    n, has_set = len(units), len(units) >= FEWEST_UNITS
    error_P = jackknife_error(without_UP[:, [best]] - without_UP)
    in_set_P = may_be_largest(strength_P, without_UP)
    led_P = np.bincount(without_UP.argmax(axis=1), minlength=len(known)) / n
    for place in np.argsort(-strength_P, kind="stable"):
        behind = float(strength_P[best] - strength_P[place])
        se = float(error_P[place]) if has_set and place != best else None
        half = None if se is None else float(stats.t.ppf(1 - LEVEL / 2, n - 1)) * se
        yield {
            "property": known[place],
            "correlation": full[known[place]],
            "behind": behind,
            "se": se,
            "ci_low": None if half is None else behind - half,
            "ci_high": None if half is None else behind + half,
            "n": n,
            "led": float(led_P[place]) if has_set else None,
            "in_set": in_set_P[place] if has_set else None,
        }


def _within_without(cells: pl.DataFrame, dataset: str, full: float) -> float:
    """Correlation without a dataset, in the direction of the full one; 0 where nothing varies any more."""
    found = _within(cells.filter(pl.col("dataset") != dataset))
    return 0.0 if found is None else found * (1.0 if full >= 0 else -1.0)


def _within(cells: pl.DataFrame) -> float | None:
    found = partial_correlation(cells["value"].to_numpy(), cells["gain"].to_numpy(), _levels(cells), n=cells.height)
    return None if found is None else found.value


def _levels(cells: pl.DataFrame) -> NDArray[np.float64]:
    """A column for each family, 1 where a cell is its."""
    families = cells["family"].unique(maintain_order=True)
    return np.column_stack([(cells["family"] == family).to_numpy().astype(np.float64) for family in families])


def strongest_sentences(strongest: pl.DataFrame) -> Mapping[str, str]:
    """By benchmark, in main metrics: which properties may be the strongest."""
    found: dict[str, str] = {}
    for part, rows in (
        strongest.filter(pl.col("main"), pl.col("in_set").is_not_null())
        .partition_by("benchmark", as_dict=True, maintain_order=True)
        .items()
    ):
        found[str(part[0])] = _sentence(str(part[0]), rows.to_dicts())
    return found


def _sentence(benchmark: str, rows: Sequence[Row]) -> str:
    inside = [row["property"].replace("_", " ") for row in rows if row["in_set"]]
    lead = rows[0]
    share = f"it leads in {100 * lead['led']:.0f} % of the samples with one dataset left out"
    if len(rows) == 1:
        return f"On {benchmark}, {inside[0]} is the only property to compare."
    if len(inside) == 1:
        return f"On {benchmark}, {inside[0]} is the strongest of {len(rows)} properties at 95 % confidence ({share})."
    any_of_all = f"any of {len(rows)} properties may be the strongest"
    one_of_some = f"the strongest of {len(rows)} properties is one of {len(inside)}"
    which = any_of_all if len(inside) == len(rows) else one_of_some
    return f"On {benchmark}, {which} (95 % confidence); {inside[0]} is ahead ({share})."

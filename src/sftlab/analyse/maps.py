"""Which models are alike: maps of all of them, what they group by, and how far training moved them.

Axes: N models, C components.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from sftlab.analyse.effects import Finding
from sftlab.analyse.frames import framed
from sftlab.analyse.gain_sets import codes
from sftlab.analyse.grouping import GroupShare, group_share
from sftlab.analyse.intervals import Estimate, Reals, not_negative, two_way_mean
from sftlab.analyse.map_findings import map_findings
from sftlab.analyse.model_map import FEWEST_MODELS, ModelMap, View
from sftlab.analyse.model_vectors import ModelVectors, changes, model_map, model_vectors, row_centred
from sftlab.analyse.multiplicity import benjamini_hochberg
from sftlab.analyse.properties import NO_MIXTURES, Sources, family_cells, in_units
from sftlab.analyse.ranking import ends
from sftlab.analyse.verdicts import Row

SHOWN_COMPONENTS = 10
POINT = ("checkpoint", "run", "base", "family", "dataset", "method", "samples", "schedule", "seed", "epoch", "last")


@dataclass(frozen=True, eq=False)
class Maps:
    """Frames by name (`map_points`, `map_components`, `map_groups`, `map_movement`), the maps, and sentences."""

    frames: dict[str, pl.DataFrame]
    maps: tuple[ModelMap, ...]
    findings: tuple[Finding, ...]


def maps(tables: Mapping[str, pl.DataFrame], sources: Sources = NO_MIXTURES) -> Maps:
    """Maps of all models from the tables `runs`, `scores` and, where it was measured, `logliks`.

    Two views: models as they are, where bases lie apart and training hardly shows; and what training changed, each
    model minus its base, where all bases are one point.
    """
    vectors = model_vectors(tables)
    changed = None if vectors is None else changes(vectors)
    views: list[tuple[View, ModelVectors | None]] = [("models", vectors), ("changes", changed)]
    found = tuple(made for view, of_view in views if of_view is not None and (made := model_map(of_view, view)))
    frames = {
        "map_points": _points_frame(found),
        "map_components": _components_frame(found),
        "map_groups": _groups_frame(found, sources),
        "map_movement": _movement_frame(changed, sources),
    }
    alike = vectors.models.height if vectors is not None and not found else 0
    return Maps(frames, found, tuple(map_findings(frames, found, alike)))


def _points_frame(found: Sequence[ModelMap]) -> pl.DataFrame:
    rows: list[Row] = []
    for one in found:
        place_NC = np.pad(one.place, ((0, 0), (0, max(0, 2 - one.place.shape[1]))))
        for point, place in zip(one.models.select(POINT).iter_rows(named=True), place_NC, strict=True):
            rows.append({"source": one.source, "view": one.view, **point, "x": float(place[0]), "y": float(place[1])})
    return framed("map_points", rows)


def _components_frame(found: Sequence[ModelMap]) -> pl.DataFrame:
    rows: list[Row] = []
    for one in found:
        for place, share in enumerate(one.share[:SHOWN_COMPONENTS]):
            named: Row = {"source": one.source, "view": one.view, "component": place + 1, "share": float(share)}
            rows.append({**named, "cumulative": float(one.share[: place + 1].sum())})
    return framed("map_components", rows)


def _groups_frame(found: Sequence[ModelMap], sources: Sources) -> pl.DataFrame:
    """p-values are adjusted (Benjamini & Hochberg) over all factors and views."""
    rows: list[Row] = []
    for one in found:
        for factor in ("base", "dataset", "method"):
            share, cells = _grouped_by(one, factor, sources)
            if share is not None:
                named: Row = {"source": one.source, "view": one.view, "factor": factor, "share": share.share}
                tested: Row = {"null_share": share.null, "null_high": share.null_high, "p": share.p}
                rows.append({**named, **tested, "levels": share.groups, "cells": cells})
    with_p = [row for row in rows if row["p"] is not None]
    for row, p in zip(with_p, benjamini_hochberg([row["p"] for row in with_p]), strict=True):
        row["p_adjusted"] = p
    return framed("map_groups", rows)


def _grouped_by(one: ModelMap, factor: str, sources: Sources) -> tuple[GroupShare | None, int]:
    """Of the means of base x dataset cells after training (of base x dataset x method cells, between methods).

    Labels are permuted within what the factor is crossed with. A mixture of datasets that were tried alone is left out.
    """
    other = {"base": ("dataset",), "dataset": ("base",), "method": ("base", "dataset")}[factor]
    names = [f"component_{place}" for place in range(one.place.shape[1])]
    placed = pl.concat([one.models, pl.DataFrame(one.place, schema=names)], how="horizontal")
    tuned = in_units(placed.filter("last" & pl.col("run").is_not_null()), sources)
    cells = tuned.group_by(*dict.fromkeys([*other, factor]), maintain_order=True).agg(pl.col(names).mean())
    cells = cells.drop_nulls()
    if cells.height < FEWEST_MODELS:
        return None, cells.height
    return group_share(cells.select(names).to_numpy(), codes(cells, factor), codes(cells, *other)), cells.height


def _movement_frame(changed: ModelVectors | None, sources: Sources) -> pl.DataFrame:
    """Distance from the base after every epoch: means over family x dataset cells (`two_way_mean`).

    Runs whose every epoch was measured, by method and number of epochs; also as a share of where the run ended.
    """
    if changed is None:
        return framed("map_movement", [])
    vector_NT = row_centred(changed)
    distance_N = np.sqrt((vector_NT**2).mean(axis=1))
    moved = changed.models.with_columns(pl.Series("distance", distance_N)).filter(pl.col("run").is_not_null())
    epochs = pl.col("epoch").max().over("run")
    whole = (pl.len().over("run") == epochs) & (epochs > 1) & pl.col("last").any().over("run")
    end = pl.col("distance").sort_by("epoch").last().over("run")
    moved = moved.with_columns(epochs=epochs, share=pl.col("distance") / end).filter(whole & (end > 0))
    rows: list[Row] = []
    for part, of_part in (
        moved.sort("epochs", "epoch", maintain_order=True)
        .partition_by("method", "epochs", "epoch", as_dict=True, maintain_order=True)
        .items()
    ):
        names: Row = {"source": changed.source, **dict(zip(("method", "epochs", "epoch"), part, strict=True))}
        rows.append({**names, **_moved(of_part, sources)})
    return framed("map_movement", rows)


def _moved(rows: pl.DataFrame, sources: Sources) -> Row:
    of_base = rows.group_by("base", "family", "dataset", maintain_order=True).agg(pl.col("distance", "share").mean())
    cells = family_cells(in_units(of_base, sources), "distance", "share")
    distance, share = (not_negative(_over_cells(cells, cells[name].to_numpy())) for name in ("distance", "share"))
    return {
        "distance": distance.value,
        **ends(distance),
        "n": cells["family"].n_unique(),
        "cells": cells.height,
        "share": share.value,
        "share_low": share.ci_low,
        "share_high": share.ci_high,
    }


def _over_cells(cells: pl.DataFrame, value_C: Reals) -> Estimate:
    return two_way_mean(value_C, codes(cells, "family"), codes(cells, "dataset"))

"""Every model as a vector: its log-likelihoods of fixed texts or, where there are none, its scores.

Axes: N models, T texts (or benchmarks).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftlab.analyse.gain_array import complete_places
from sftlab.analyse.intervals import Reals
from sftlab.analyse.model_map import FEWEST_MODELS, ModelMap, Source, View, principal_components

KEY = ("checkpoint", "base", "run", "epoch")
OF_RUN = ("dataset", "method", "samples", "schedule", "seed")
NOT_TRAINED = "none"
FEWEST_BENCHMARKS = 3
"""On fewer, the scores themselves are the map."""


@dataclass(frozen=True, eq=False)
class ModelVectors:
    """A complete matrix of models: `vector` is N x T, `models` names its rows (see `ModelMap`).

    `without_models` and `without_columns` count what was left out to make it complete.
    """

    source: Source
    models: pl.DataFrame
    vector: Reals
    without_models: int = 0
    without_columns: int = 0


def model_vectors(tables: Mapping[str, pl.DataFrame]) -> ModelVectors | None:
    """Vectors of bases and chosen runs after every epoch that was measured; None of fewer than three models.

    From the table `logliks` if it has three models; else the main scores of the table `scores` on three benchmarks or
    more, better ones higher, in standard deviations of each benchmark over the models. Models, texts and benchmarks
    with the largest share of missing values go, one at a time, until none is missing.
    """
    of_texts = _from_logliks(tables)
    return of_texts if of_texts is not None else _from_scores(tables)


def _from_logliks(tables: Mapping[str, pl.DataFrame]) -> ModelVectors | None:
    logliks = tables.get("logliks", pl.DataFrame())
    if logliks.is_empty():
        return None
    known = logliks.filter(pl.col("log_likelihood").is_not_null() & pl.col("text").is_not_null())
    return _matrix("log-likelihoods", known, pl.col("text"), "log_likelihood", tables)


def _from_scores(tables: Mapping[str, pl.DataFrame]) -> ModelVectors | None:
    scores = tables["scores"]
    better = pl.when(pl.col("higher_is_better").fill_null(value=True)).then(pl.col("value")).otherwise(-pl.col("value"))
    known = scores.filter(pl.col("main").fill_null(value=False) & pl.col("value").is_not_null())
    column = pl.concat_str("benchmark", "scorer", "metric", separator="/", ignore_nulls=True)
    found = _matrix("scores", known.with_columns(better=better), column, "better", tables)
    if found is None or found.vector.shape[1] < FEWEST_BENCHMARKS:
        return None
    scaled = in_standard_deviations(found.vector)
    return None if scaled is None else replace(found, vector=scaled)


def in_standard_deviations(vector_NT: Reals) -> Reals | None:
    """Each column centred and divided by its standard deviation, without columns that do not vary; None of none."""
    spread_T = np.where(np.ptp(vector_NT, axis=0) > 0, vector_NT.std(axis=0), 0.0)
    varied = spread_T > 0
    if not varied.any():
        return None
    scaled: Reals = (vector_NT[:, varied] - vector_NT[:, varied].mean(axis=0)) / spread_T[varied]
    return scaled


def _matrix(
    source: Source, known: pl.DataFrame, column: pl.Expr, value: str, tables: Mapping[str, pl.DataFrame]
) -> ModelVectors | None:
    """Values of models x columns without gaps; values of one model and column that stand there twice are averaged."""
    named = _named(known, tables).with_columns(column=column)
    if named.is_empty():
        return None
    models = named.select(*KEY, "family", *OF_RUN, "last").unique([*KEY], keep="first", maintain_order=True)
    columns = named.select("column").unique(maintain_order=True)
    cells = (
        named.group_by(*KEY, "column")
        .agg(pl.col(value).mean())
        .join(models.select(*KEY).with_row_index("row"), on=[*KEY], nulls_equal=True)
        .join(columns.with_row_index("place"), on="column")
    )
    value_NT = np.full((models.height, columns.height), np.nan)
    value_NT[cells["row"].to_numpy(), cells["place"].to_numpy()] = cells[value].to_numpy()
    rows, kept = complete_places(~np.isnan(value_NT))
    if len(rows) < FEWEST_MODELS or not kept:
        return None
    return ModelVectors(
        source, models[rows], value_NT[np.ix_(rows, kept)], models.height - len(rows), columns.height - len(kept)
    )


def _named(known: pl.DataFrame, tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Rows of chosen runs and of bases, with what their run is; of a base the dataset is `none`."""
    runs = tables["runs"].select(
        "run", *OF_RUN, "scored_epoch", pl.col("chosen").fill_null(value=True).alias("is_chosen")
    )
    families = pl.concat([tables[name].select("base", "family") for name in ("runs", "scores")])
    families = families.drop_nulls().unique("base", keep="first", maintain_order=True)
    joined = (
        known.select(*KEY, *(name for name in known.columns if name not in {*KEY, *OF_RUN, "family"}))
        .join(runs.unique("run", keep="first"), on="run", how="left", maintain_order="left")
        .join(families, on="base", how="left", maintain_order="left")
    )
    is_base = pl.col("run").is_null()
    last = pl.col("scored_epoch").fill_null(pl.col("epoch").max().over("run"))
    return joined.filter(is_base | pl.col("is_chosen").fill_null(value=False)).with_columns(
        dataset=pl.when(is_base).then(pl.lit(NOT_TRAINED)).otherwise(pl.col("dataset")),
        last=is_base | (pl.col("epoch") == last),
    )


def changes(vectors: ModelVectors) -> ModelVectors | None:
    """What training changed: each tuned model minus its base, and one row of zeros that stands for all bases.

    Scores are again in standard deviations of each benchmark, now of the changes. None where fewer than three tuned
    models have their base beside them.
    """
    is_base = vectors.models["run"].is_null().to_numpy()
    base_of: dict[str, int] = {}
    for place in np.flatnonzero(is_base).tolist():
        base_of.setdefault(vectors.models["base"][place], place)
    tuned = [place for place in np.flatnonzero(~is_base).tolist() if vectors.models["base"][place] in base_of]
    if len(tuned) < FEWEST_MODELS:
        return None
    own_base = [base_of[vectors.models["base"][place]] for place in tuned]
    change_NT: Reals | None = vectors.vector[tuned] - vectors.vector[own_base]
    if vectors.source == "scores":
        assert change_NT is not None
        change_NT = _scaled(change_NT)
    if change_NT is None:
        return None
    start = vectors.models[[own_base[0]]].with_columns(
        pl.lit(None, dtype=pl.String).alias(name) for name in ("checkpoint", "base", "family")
    )
    models = pl.concat([start, vectors.models[tuned]])
    vector = np.concatenate([np.zeros((1, change_NT.shape[1])), change_NT])
    return replace(vectors, models=models, vector=vector)


def _scaled(change_NT: Reals) -> Reals | None:
    """Divided by each column's standard deviation, but not centred: a model that did not change stays at 0."""
    spread_T = np.where(np.ptp(change_NT, axis=0) > 1e-12, change_NT.std(axis=0), 0.0)
    varied: NDArray[np.bool_] = spread_T > 0
    return change_NT[:, varied] / spread_T[varied] if varied.any() else None


def row_centred(vectors: ModelVectors) -> Reals:
    """The vectors; log-likelihoods without each model's mean over texts, so that what is left is which text it likes.

    With the centring of columns that principal components begin with, the matrix is double-centred: half the mean
    squared difference of two near models approximates their Kullback-Leibler divergence a text (Oyama et al. 2025).
    """
    if vectors.source == "scores":
        return vectors.vector
    centred: Reals = vectors.vector - vectors.vector.mean(axis=1, keepdims=True)
    return centred


def model_map(vectors: ModelVectors, view: View) -> ModelMap | None:
    """The models of one view as points; None where all are alike."""
    vector_NT = row_centred(vectors)
    found = principal_components(vector_NT)
    if found is None:
        return None
    return ModelMap(
        vectors.source,
        view,
        vectors.models,
        *found,
        width=vector_NT.shape[1],
        without_models=vectors.without_models,
        without_columns=vectors.without_columns,
    )

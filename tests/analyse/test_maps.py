"""Maps of models: places, what they group by, how far training moved them, and what cannot be mapped."""

import numpy as np
import polars as pl
import pytest
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA

from sftlab.analyse.grouping import group_share
from sftlab.analyse.map_findings import SHARED_ERROR
from sftlab.analyse.maps import maps
from sftlab.analyse.model_map import MOST_FOR_TSNE, ModelMap, neighbours_kept, principal_components, tsne
from sftlab.analyse.model_vectors import model_vectors
from sftlab.analyse.schemas import LOGLIKS, RUNS, SCORES, conformed, empty

BASES, DATASETS, TEXTS, EPOCHS = ("a", "b", "c"), ("x", "y", "z", "w"), 40, 3
GENERATOR = np.random.default_rng(0)
OF_BASE = {base: GENERATOR.normal(0, 30, TEXTS) for base in BASES}
OF_DATASET = {dataset: GENERATOR.normal(0, 5, TEXTS) for dataset in DATASETS}


def planted(noise: float = 0.1, *, datasets=DATASETS, bases=BASES, base_error: float = 0.0) -> dict[str, pl.DataFrame]:
    """Base vectors far apart, and each dataset moves all of them the same way by a third of the whole an epoch."""
    generator = np.random.default_rng(1)
    runs, logliks = [], []

    def measured(base, run, epoch, vector):
        texts = [f"t{place}" for place in range(TEXTS)]
        name = {"checkpoint": f"{run or base}-e{epoch}", "base": base, "run": run, "epoch": epoch, "status": "done"}
        logliks.extend(
            {**name, "text": text, "log_likelihood": float(v)} for text, v in zip(texts, vector, strict=True)
        )

    for base in bases:
        measured(base, None, 0, OF_BASE[base] + generator.normal(0, base_error, TEXTS))
        for dataset in datasets:
            run = f"{base}/{dataset}"
            runs.append(
                {"run": run, "base": base, "family": base, "dataset": dataset, "method": "full", "samples": 100}
                | {"status": "done", "scored_epoch": EPOCHS, "epochs": EPOCHS, "seed": 0}
            )
            for epoch in range(1, EPOCHS + 1):
                drift = generator.normal(0, noise, TEXTS)
                measured(base, run, epoch, OF_BASE[base] + OF_DATASET[dataset] * epoch / EPOCHS + drift)
    return {
        "runs": conformed(pl.DataFrame(runs, infer_schema_length=None), RUNS),
        "scores": empty(SCORES),
        "logliks": conformed(pl.DataFrame(logliks, infer_schema_length=None), LOGLIKS),
    }


def as_scores(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The same vectors as scores on as many benchmarks, lower ones better on every second."""
    named = tables["logliks"].join(tables["runs"].select("run", "dataset", "family"), on="run", how="left")
    lower = pl.col("text").str.slice(1).cast(pl.Int64) % 2 == 0
    scores = named.with_columns(
        benchmark=pl.col("text"),
        value=pl.when(lower).then(-pl.col("log_likelihood")).otherwise(pl.col("log_likelihood")),
        higher_is_better=~lower,
        main=pl.lit(value=True),
        dataset=pl.col("dataset").fill_null("none"),
    )
    return {"runs": tables["runs"], "scores": conformed(scores, SCORES)}


def groups(found, view):
    return {row["factor"]: row for row in found.frames["map_groups"].filter(view=view).to_dicts()}


def test_components_are_those_of_scikit_learn():
    vectors = np.random.default_rng(2).normal(size=(12, 30)) * np.arange(1, 31)
    place, share = principal_components(vectors)
    witness = PCA(11).fit(vectors)
    assert share == pytest.approx(witness.explained_variance_ratio_)
    assert np.abs(place) == pytest.approx(np.abs(witness.transform(vectors)))


@pytest.mark.parametrize("vectors", [np.ones((5, 3)), np.zeros((4, 2)), np.eye(2), np.full((6, 1), 0.1 + 0.2)])
def test_models_that_are_alike_or_fewer_than_three_have_no_components(vectors):
    assert principal_components(vectors) is None


def test_share_between_groups_is_that_of_squared_distances():
    generator = np.random.default_rng(3)
    points, group = generator.normal(size=(20, 4)), generator.integers(0, 3, 20)
    squares = cdist(points, points) ** 2
    total = squares.sum() / 2 / 20
    inside = sum(squares[np.ix_(group == one, group == one)].sum() / 2 / (group == one).sum() for one in range(3))
    found = group_share(points, group, np.zeros(20, dtype=np.int64))
    assert found.share == pytest.approx(1 - inside / total)
    assert found.null == pytest.approx(2 / 19, abs=0.02)


def test_labels_without_meaning_are_rarely_found_to_group():
    generator = np.random.default_rng(4)
    found = [
        group_share(
            generator.normal(size=(16, 3)),
            np.tile(np.arange(4), 4),
            np.repeat(np.arange(4), 4),
            permutations=199,
            seed=seed,
        )
        for seed in range(100)
    ]
    assert sum(one.p <= 0.05 for one in found) <= 11


def test_labels_that_no_permutation_changes_are_not_tested():
    found = group_share(np.arange(4.0)[:, None], np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]))
    assert (found.null, found.p) == (None, None)
    assert found.share == pytest.approx(0.8)


def test_models_lie_apart_by_base_and_their_changes_by_dataset():
    found = maps(planted())
    models, changes = groups(found, "models"), groups(found, "changes")
    assert models["base"]["share"] > 0.9
    assert models["dataset"]["share"] < 0.1
    assert changes["dataset"]["share"] > 0.99
    assert changes["base"]["share"] < 0.01
    assert changes["dataset"]["p_adjusted"] <= 0.05 < changes["base"]["p_adjusted"]
    text = next(one.text for one in found.findings if one.subject == "changes")
    assert "Models group by dataset beyond chance, not surely by base." in text


def test_changes_have_all_bases_in_one_point_and_distances_of_the_vectors():
    found = maps(planted(noise=0.0))
    changed = found.maps[1]
    assert changed.models["base"].null_count() == 1
    assert changed.models.height == 1 + len(BASES) * len(DATASETS) * EPOCHS
    row = {
        (point["base"], point["dataset"], point["epoch"]): place
        for place, point in enumerate(changed.models.to_dicts())
    }
    distance = np.linalg.norm(changed.place[row["a", "x", 3]] - changed.place[row[None, "none", 0]])
    assert distance == pytest.approx(np.linalg.norm(OF_DATASET["x"] - OF_DATASET["x"].mean()))
    assert np.allclose(changed.place[row["a", "x", 3]], changed.place[row["b", "x", 3]])


def test_movement_is_a_third_of_the_way_an_epoch():
    movement = maps(planted(noise=0.0)).frames["map_movement"]
    assert movement["epoch"].to_list() == [1, 2, 3]
    assert movement["share"].to_list() == pytest.approx([1 / 3, 2 / 3, 1])
    expected = [(OF_DATASET[name] - OF_DATASET[name].mean()).std() for name in DATASETS]
    assert movement["distance"][2] == pytest.approx(np.mean(expected))
    assert movement.select("n", "cells").row(0) == (len(BASES), len(BASES) * len(DATASETS))


def test_scores_stand_in_where_there_are_no_log_likelihoods():
    tables = as_scores(planted())
    found = maps(tables)
    assert {one.source for one in found.maps} == {"scores"}
    assert groups(found, "models")["base"]["share"] > 0.9
    assert groups(found, "changes")["dataset"]["share"] > 0.95
    assert not any(SHARED_ERROR in one.text for one in found.findings)


def test_gains_that_share_the_error_of_their_base_are_said_to():
    found = maps(as_scores(planted(base_error=10.0)))
    assert groups(found, "changes")["base"]["p_adjusted"] <= 0.05
    assert any(SHARED_ERROR in one.text for one in found.findings)


def test_benchmarks_of_like_spread_make_the_vectors_of_scores():
    tables = as_scores(planted())
    assert model_vectors(tables).vector.std(axis=0) == pytest.approx(np.ones(TEXTS))


def test_texts_and_models_with_gaps_are_left_out_and_counted():
    tables = planted()
    unfit = (pl.col("base") == "a") & (pl.col("text") == "t5")
    lost = (pl.col("run") == "b/x") & (pl.col("epoch") == 3) & (pl.col("text") != "t0")
    value = pl.when(unfit | lost).then(None).otherwise(pl.col("log_likelihood")).alias("log_likelihood")
    vectors = model_vectors({**tables, "logliks": tables["logliks"].with_columns(value)})
    assert (vectors.without_models, vectors.without_columns) == (1, 1)
    assert vectors.vector.shape == (len(BASES) * (1 + len(DATASETS) * EPOCHS) - 1, TEXTS - 1)
    assert not np.isnan(vectors.vector).any()


def test_one_base_is_mapped_and_not_compared_with_others():
    found = maps(planted(bases=("a",)))
    assert set(groups(found, "changes")) == {"dataset"}


def test_models_that_are_all_alike_are_said_to_be():
    tables = planted()
    alike = tables["logliks"].with_columns(log_likelihood=pl.lit(-7.0))
    found = maps({**tables, "logliks": alike})
    assert found.maps == ()
    assert [one.text for one in found.findings] == [
        "All 39 models are alike in what was measured of them: there is nothing to map."
    ]


@pytest.mark.parametrize("kept", [0, 2])
def test_too_few_models_give_empty_frames_and_no_sentence(kept):
    tables = planted(bases=("a",), datasets=("x",))
    few = tables["logliks"].filter(pl.col("epoch") < kept)
    found = maps({**tables, "logliks": few})
    assert found.findings == ()
    assert all(frame.is_empty() for frame in found.frames.values())


def of_places(place):
    models = pl.DataFrame({"last": [True] * len(place)})
    return ModelMap("scores", "models", models, place, np.ones(place.shape[1]), place.shape[1])


def test_tsne_keeps_clusters_apart_and_is_the_same_every_time():
    generator = np.random.default_rng(5)
    centres = np.repeat(generator.normal(0, 20, size=(3, 6)), 8, axis=0)
    place = centres + generator.normal(size=(24, 6))
    one, again = tsne(of_places(place)), tsne(of_places(place))
    assert np.array_equal(one.place, again.place)
    assert one.perplexity == pytest.approx(23 / 3)
    nearest = cdist(one.place, one.place) + np.diag(np.full(24, np.inf))
    assert (nearest.argmin(axis=1) // 8 == np.arange(24) // 8).all()
    assert one.stability > 0.5


def test_tsne_takes_few_models_and_refuses_fewer_or_too_many():
    place = np.random.default_rng(6).normal(size=(5, 1))
    assert tsne(of_places(place)).place.shape == (5, 2)
    assert tsne(of_places(place[:4])) is None
    assert tsne(of_places(np.zeros((MOST_FOR_TSNE + 1, 2)))) is None


def test_neighbours_are_all_kept_in_a_turned_layout_and_few_in_a_shuffled_one():
    points = np.random.default_rng(7).normal(size=(60, 2))
    turned = points @ np.array([[0.0, -1.0], [1.0, 0.0]])
    assert neighbours_kept(points, turned) == 1
    assert neighbours_kept(points, np.random.default_rng(8).permutation(points)) < 0.3

"""Predictions of studies: what is told, of which cells, and what is said where nothing can be."""

import json

import numpy as np
import polars as pl
import pytest

import sftlab
from sftlab.analyse.gain_sets import gain_sets
from sftlab.errors import StudyError
from sftlab.predict.asking import Asked
from sftlab.predict.choosing import BY_DEFAULT
from sftlab.predict.frames import SCHEMAS
from sftlab.predict.gain_table import gain_table
from sftlab.predict.predicting import Predictions, predict, predict_study
from tests.analyse.synthetic import Design, write
from tests.predict.test_left_out import fields_of
from tests.predict.worlds import World, drawn

HELPS = {"math": 0.25, "chat": 0.12, "code": 0.05, "тексты": -0.05, "list": -0.15}
NOISE = 0.004


def made_scores(bases: int = 4, *, holes: tuple[tuple[int, str], ...] = (), methods: tuple[str, ...] = ("full",)):
    """Results of an additive world on two benchmarks; of `holes` (base, dataset) there is no score."""
    random = np.random.default_rng(3)
    rows = []
    for place in range(bases):
        base, family = f"基底-{place}", f"family-{place}"
        level = {name: random.normal(0.4, 0.05) for name in ("gsm8k", "mmlu")}
        for benchmark, score in level.items():
            rows.append((base, family, "none", None, benchmark, score, "accuracy"))
            for dataset, helps in HELPS.items():
                for method in methods:
                    known = (place, dataset) not in holes
                    value = score + helps + random.normal(0, NOISE) if known else None
                    rows.append((base, family, dataset, method, benchmark, value, "accuracy"))
    names = ["base", "family", "dataset", "method", "benchmark", "value", "metric"]
    return pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)


def predicted(*args: object, asked: Asked | None = None, **options: object) -> Predictions:
    return predict_study(sftlab.from_scores(made_scores(*args, **options)), asked or Asked())


@pytest.fixture(scope="module")
def with_holes() -> Predictions:
    return predicted(holes=((1, "math"), (1, "list"), *((3, name) for name in HELPS)))


def test_untried_cells_are_told_and_tried_ones_stand_beside_them(with_holes: Predictions) -> None:
    found = with_holes.predictions
    assert dict(found.schema) == dict(SCHEMAS["predictions"])
    assert dict(with_holes.prediction_skill.schema) == dict(SCHEMAS["prediction_skill"])
    gap = found.filter(pl.col("base") == "基底-1", pl.col("benchmark") == "gsm8k")
    assert gap["dataset"].to_list() == ["math", "chat", "code", "тексты", "list"]
    assert gap["rank"].to_list() == [1, 2, 3, 4, 5]
    assert gap["tried"].to_list() == [False, True, True, True, False]
    told = gap.filter(~pl.col("tried"))
    assert told["gain"].to_list() == pytest.approx([0.25, -0.15], abs=0.03)
    assert told["question"].to_list() == ["gap", "gap"]
    assert (told["ci_low"] < told["gain"]).all()
    assert (told["ci_high"] > told["gain"]).all()
    assert set(found["base"]) == {"基底-1", "基底-3"}


def test_new_base_gets_the_order_that_all_others_had(with_holes: Predictions) -> None:
    new = with_holes.predictions.filter(pl.col("base") == "基底-3", pl.col("benchmark") == "mmlu")
    assert new["dataset"].to_list() == list(HELPS)
    assert new["question"].unique().to_list() == ["new_base"]
    assert not new["tried"].any()


def test_next_to_try_is_what_would_improve_on_the_best_so_far(with_holes: Predictions) -> None:
    marked = with_holes.predictions.filter("try_next")
    assert set(marked.filter(pl.col("base") == "基底-1")["dataset"]) == {"math"}
    (row,) = marked.filter(pl.col("base") == "基底-1", pl.col("benchmark") == "gsm8k").to_dicts()
    assert row["expected_improvement"] == pytest.approx(0.13, abs=0.04)
    assert any(text.startswith("Try next for 基底-1 on gsm8k: math, expected +2") for text in with_holes.sentences)
    assert any("the best so far, chat, brought +1" in text for text in with_holes.sentences)


def test_skill_is_said_beside_the_mean_of_the_other_bases_and_a_coin(with_holes: Predictions) -> None:
    said = with_holes.sentences[0]
    assert said.startswith("For a new base family two datasets are ordered rightly in 1.00 [no interval] of pairs")
    assert "the mean of the other bases 1.00 [no interval]" in said
    assert said.endswith("a coin 0.50.")
    assert "3 base families, few" in said
    assert any(
        text.startswith("The mixed model does not beat the mean of the other bases") for text in with_holes.sentences
    )
    assert set(with_holes.predictions["predictor"].drop_nulls()) == {BY_DEFAULT}


def test_null_world_says_that_nothing_beats_the_reference() -> None:
    found = predict(drawn(World(dataset_sd=0.0, bases=5, datasets=5, benchmarks=1, seed=1)))
    beyond = found.prediction_skill.filter(
        pl.col("question") == "new_base", pl.col("predictor") == "mixed_model", statistic="beyond_reference"
    ).row(0, named=True)
    assert beyond["ci_low"] <= 0
    assert any(
        text.startswith(("The mixed model does not beat", "The mixed model does not surely beat"))
        for text in found.sentences
    )
    assert not any(text.startswith("The mixed model beats") for text in found.sentences)


def test_nothing_left_to_predict_is_a_sentence() -> None:
    found = predicted()
    assert found.predictions.is_empty()
    assert "Nothing is left to predict: every base was trained on every dataset." in found.sentences


def test_study_without_any_gain_says_so(tmp_path) -> None:
    from sftlab.analyse.results import stored_results

    design = Design(bases=2, datasets=("a", "b"), pending_datasets=("a", "b"), items=10, seeds=1, epochs=1)
    found = predict_study(stored_results(*write(design, tmp_path)))
    assert found.sentences == ("Nothing can be predicted yet: no gain is known so far.",)
    assert found.predictions.is_empty()


def test_new_base_beside_a_single_one_is_a_sentence_and_no_number() -> None:
    found = predicted(2, holes=tuple((1, name) for name in HELPS))
    assert found.predictions["gain"].null_count() == found.predictions.height > 0
    assert any("gains of one base family alone are known" in text for text in found.sentences)
    assert any("that takes gains of two" in text for text in found.sentences)


def test_one_dataset_is_a_sentence_and_no_number() -> None:
    holes = tuple((place, name) for place in range(4) for name in HELPS if name != "math" or place == 2)
    found = predicted(4, holes=holes)
    assert (
        found.predictions.filter(~pl.col("tried"))["gain"].null_count()
        == found.predictions.filter(~pl.col("tried")).height
    )
    assert any("gains of one dataset alone are known" in text for text in found.sentences)


def test_dataset_of_which_only_the_name_is_known_is_not_told() -> None:
    found = predicted(4, holes=tuple((place, "chat") for place in range(4)))
    told = found.predictions.filter(dataset="chat")
    assert told["gain"].null_count() == told.height == 8
    assert any("nothing is known of chat but its name" in text for text in found.sentences)


def test_new_dataset_is_told_from_its_properties() -> None:
    table = drawn(World(3, 7, 1, slope=0.2, dataset_sd=0.02, interaction_sd=0.02, seed=4))
    hidden = np.zeros(table.gain.shape[:2], dtype=bool)
    hidden[:, 3] = True
    found = predict(table.without(hidden), Asked(datasets=("data3",)))
    told = found.predictions.filter(~pl.col("tried")).sort("base", "benchmark")
    assert told["question"].unique().to_list() == ["new_dataset"]
    error = told["gain"].to_numpy() - table.gain[:, 3].ravel()
    assert np.sqrt((error**2).mean()) < 0.06


def test_asked_bases_datasets_and_benchmarks_narrow_what_is_told() -> None:
    holes = tuple((place, name) for place in (1, 3) for name in ("math", "chat"))
    found = predicted(holes=holes, asked=Asked(("基底-3",), ("math",), ("mmlu",)))
    untried = found.predictions.filter(~pl.col("tried"))
    assert untried.select("base", "dataset", "benchmark").rows() == [("基底-3", "math", "mmlu")]
    said = "On mmlu, for a new base family it is 1.00 [no interval] of pairs; the dataset put first was 0 points of"
    assert any(text.startswith(said) for text in found.sentences)
    assert set(found.predictions["base"]) == {"基底-3"}


def test_tried_cells_of_a_base_that_is_asked_for_are_shown() -> None:
    found = predicted(asked=Asked(bases=("基底-0",)))
    assert found.predictions["tried"].all()
    assert found.predictions.height == 2 * len(HELPS)
    assert any("these bases were trained on every dataset" in text for text in found.sentences)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked(bases=("llama",)), "there is no base 'llama'"),
        (Asked(datasets=("orca",)), "among the study's `datasets` with `measures`"),
        (Asked(benchmarks=("arc",)), "there is no benchmark 'arc'"),
    ],
)
def test_names_that_are_not_there_are_refused_with_those_that_are(asked: Asked, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        predicted(asked=asked)


def test_method_takes_its_own_gains_alone() -> None:
    frame = made_scores(3, methods=("full", "lora"), holes=((1, "math"),))
    lower = pl.when(pl.col("method") == "lora").then(pl.col("value") - 0.1).otherwise(pl.col("value"))
    results = sftlab.from_scores(frame.with_columns(value=lower))
    both = {
        method: predict_study(results, method=method).predictions.filter(dataset="math", benchmark="mmlu")["gain"][0]
        for method in ("full", "lora")
    }
    assert both["full"] - both["lora"] == pytest.approx(0.1, abs=0.01)
    with pytest.raises(StudyError, match="its methods are full and lora"):
        predict_study(results, method="dpo")


def test_ties_among_gains_are_predicted_without_failing() -> None:
    table = drawn(World(bases=3, datasets=5, benchmarks=2))
    flat = fields_of(table) | {"gain": np.round(table.gain, 1)}
    flat["gain"][..., 1] = 0.0  # on the second benchmark nothing changed anything
    hidden = np.zeros((3, 5), dtype=bool)
    hidden[0, 1] = True
    found = predict(type(table)(**flat).without(hidden))
    untried = found.predictions.filter(~pl.col("tried"))
    assert untried["benchmark"].to_list() == ["benchmark0", "benchmark1"]
    assert untried["gain"].is_null().to_list() == [False, True]
    assert any("on benchmark1 all gains are equal" in text for text in found.sentences)


def test_bounded_metrics_have_bounded_intervals() -> None:
    table = drawn(World(bases=3, datasets=5, base_sd=0.5, interaction_sd=0.5, seed=2))
    hidden = np.zeros((3, 5), dtype=bool)
    hidden[0] = True
    found = predict(table.without(hidden)).predictions.filter(pl.col("gain").is_not_null())
    assert found["ci_low"].min() >= -1.0
    assert found["ci_high"].max() <= 1.0


def test_planned_runs_of_a_study_are_what_is_untried(tmp_path) -> None:
    """A store in which one dataset's runs are still to come: its properties are measured, its gains are told."""
    from sftlab.analyse.results import stored_results

    design = Design(bases=3, datasets=("a", "b", "c", "d", "e"), pending_datasets=("e",), items=40, seeds=1, epochs=1)
    results = stored_results(*write(design, tmp_path))
    found = predict_study(results)
    untried = found.predictions.filter(~pl.col("tried"))
    assert set(untried["dataset"]) == {"e"}
    assert untried["question"].unique().to_list() == ["new_dataset"]
    assert untried["gain"].null_count() == 0
    seen = found.predictions.filter(pl.col("tried"))
    assert seen["ci_low"].null_count() == 0


def test_mixtures_of_datasets_tried_alone_are_no_datasets_of_their_own() -> None:
    results = sftlab.from_scores(made_scores())
    sources = {"code": frozenset({"math", "chat"})}
    table = gain_table(gain_sets(results.scores()), results.scores(), results.data(), sources=sources)
    assert table.datasets == ("math", "chat", "тексты", "list")


def test_json_holds_no_unknown_numbers(with_holes: Predictions) -> None:
    told = with_holes.to_json()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert any(row["gain"] is None or row["ci_low"] is None for row in told["predictions"])


def test_what_is_left_out_of_the_table_is_said() -> None:
    frame = made_scores(methods=("full", "lora"))
    of_chat = (pl.col("dataset") != "chat") | (pl.col("method") == "lora")
    of_code = (pl.col("dataset") != "code") | (pl.col("method") == "full")
    results = sftlab.from_scores(frame.filter(of_chat & of_code & ((pl.col("dataset") != "list") | ~of_chat)))
    scores = results.scores()
    table = gain_table(gain_sets(scores), scores, results.data(), sources={"math": frozenset({"chat", "code"})})
    said = predict(table).sentences
    assert "Mixtures of datasets that are tried alone are not told: math." in said
    assert any(text.startswith("On gsm8k gains of ") and "count as unknown" in text for text in said)


def test_where_every_base_is_its_own_family_bases_are_counted() -> None:
    results = sftlab.from_scores(made_scores(3, holes=((1, "math"),)).drop("family"))
    said = predict_study(results).sentences[0]
    assert said.startswith("For a new base two datasets are ordered rightly")
    assert "over 3 bases, few" in said


def test_single_base_is_told_of_new_data_from_their_length() -> None:
    table = drawn(World(bases=1, datasets=10, slope=0.3, dataset_sd=0.02, interaction_sd=0.02, benchmarks=1, seed=2))
    hidden = np.zeros((1, 10), dtype=bool)
    hidden[0, 4] = True
    found = predict(table.without(hidden))
    row = found.predictions.filter(~pl.col("tried")).row(0, named=True)
    assert row["gain"] == pytest.approx(table.gain[0, 4, 0], abs=0.1)
    assert set(found.prediction_skill["question"]) == {"new_dataset"}


def test_base_without_any_score_of_its_own_is_told() -> None:
    frame = made_scores(holes=tuple((3, name) for name in HELPS))
    unscored = (pl.col("base") == "基底-3") & (pl.col("dataset") == "none")
    found = predict_study(sftlab.from_scores(frame.with_columns(value=pl.when(~unscored).then("value"))))
    told = found.predictions.filter(base="基底-3")
    assert told["gain"].null_count() == 0
    assert told.height == 2 * len(HELPS)


def test_what_the_audit_leaves_out_is_told_but_not_put_next() -> None:
    """The score of base 3 on gsm8k cannot be one: no gain over it counts, and training again would not help."""
    impossible = (pl.col("base") == "基底-3") & (pl.col("dataset") == "none") & (pl.col("benchmark") == "gsm8k")
    frame = made_scores().with_columns(value=pl.when(impossible).then(1.5).otherwise("value"))
    found = predict_study(sftlab.from_scores(frame))
    told = found.predictions.filter(~pl.col("tried"))
    assert told.select("base", "benchmark").unique().rows() == [("基底-3", "gsm8k")]
    assert told["gain"].is_not_null().all()
    assert not told["try_next"].any()
    assert not any(text.startswith(("Try next", "What to try next")) for text in found.sentences)
    assert found.sentences[-1] == (
        "The audit leaves out 5 gains of cells that were tried (of 基底-3): these are told as if not tried, but never "
        "put next (`sftlab audit`)."
    )

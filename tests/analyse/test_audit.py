"""Every check finds what is planted, and nothing in results that are as they should be."""

import numpy as np
import polars as pl
import pytest

from sftlab.analyse.answers import analysis_of_tables
from sftlab.analyse.audit.auditing import audit, exclusions, without_excluded
from sftlab.analyse.schemas import DATA, LAYERS, RUNS, SCORES, empty, from_rows

BENCHMARKS = ("mmlu", "gsm8k", "humaneval", "nq", "hellaswag", "boolq", "math", "mbpp")


def rows_of_study(*, bases=4, datasets=5, seed=0, items=1000, methods=("full", "lora")):
    """Scores and runs of a clean study: generative accuracy above chance, every base scored, two seeds."""
    generator = np.random.default_rng(seed)
    runs, scores = [], []
    for b in range(bases):
        strength = generator.uniform(0.55, 0.75, len(BENCHMARKS))
        for d in range(-1, datasets):
            for method in methods if d >= 0 else ("",):
                for repeat in (0, 1) if d >= 0 else (0,):
                    run = f"b{b}-d{d}-{method}-{repeat}" if d >= 0 else None
                    common = {"run": run, "base": f"b{b}", "family": f"b{b}", "dataset": f"d{d}" if run else "none"}
                    recipe = {"method": method, "samples": 1000, "schedule": "constant", "epochs": 3, "seed": repeat}
                    recipe |= {"learning_rate": 1e-4, "batch_size": 8}
                    if run:
                        runs.append({**common, **recipe, "status": "done", "examples": 1000, "scored_epoch": 3})
                    for k, benchmark in enumerate(BENCHMARKS):
                        hits = generator.binomial(items, strength[k] + 0.1 * (d >= 0))
                        scores.append(
                            {
                                **common,
                                **(recipe if run else {}),
                                "checkpoint": run or f"b{b}",
                                "epoch": 3 if run else 0,
                                "benchmark": benchmark,
                                "scorer": "generative",
                                "metric": "accuracy",
                                "value": hits / items,
                                "n": items,
                                "unparsed": 0,
                                "status": "done",
                                "main": True,
                            }
                        )
    return runs, scores


def tables(runs, scores):
    return {
        "runs": from_rows(runs, RUNS),
        "scores": from_rows(scores, SCORES),
        "data": empty(DATA),
        "layers": empty(LAYERS),
    }


def found(runs, scores, check):
    return [finding for finding in audit(tables(runs, scores)) if finding.check == check]


def test_clean_study_has_no_finding():
    assert audit(tables(*rows_of_study())) == ()


def test_independent_models_are_no_copies():
    for seed in range(30):
        runs, scores = rows_of_study(seed=seed, items=100, bases=6)
        assert found(runs, scores, "copied_scores") == []


def test_copied_block_of_columns_is_found_with_both_rows():
    runs, scores = rows_of_study(bases=6, datasets=8, items=20_000)
    original = {row["benchmark"]: row["value"] for row in scores if row["checkpoint"] == "b0"}
    for row in scores:
        if row["checkpoint"] == "b3" and row["benchmark"] in BENCHMARKS[2:7]:
            row["value"] = original[row["benchmark"]]
    (finding,) = found(runs, scores, "copied_scores")
    assert "the base b0 and the base b3" in finding.text
    assert set(finding.excluded["checkpoint"]) == {"b0", "b3"}
    assert set(BENCHMARKS[2:7]) <= set(finding.excluded["benchmark"])
    assert finding.severity == "error"


def test_models_at_the_floor_are_no_copies():
    runs, scores = rows_of_study(bases=6)
    for row in scores:
        if row["dataset"] in {"d0", "d1"} and row["benchmark"] in BENCHMARKS[:6]:
            row["value"] = 0.0
    assert found(runs, scores, "copied_scores") == []


def test_single_runs_beside_means_of_runs_are_no_copies():
    for seed in range(5):
        generator = np.random.default_rng(seed)
        runs, scores = rows_of_study(seed=seed, items=40, bases=6)
        for row in scores:
            if row["base"] in {"b3", "b4", "b5"}:
                row["value"] = float(np.mean([row["value"], *generator.binomial(40, row["value"], 2) / 40]))
        assert found(runs, scores, "copied_scores") == []


def test_gains_over_a_copied_base_are_excluded():
    runs, scores = rows_of_study()
    frame = from_rows([{**row, "gain": 0.1} for row in scores], SCORES)
    original = {row["benchmark"]: row["value"] for row in scores if row["checkpoint"] == "b0"}
    frame = frame.with_columns(
        value=pl.when(pl.col("checkpoint") == "b1")
        .then(pl.col("benchmark").replace_strict(original))
        .otherwise(pl.col("value"))
    )
    findings = audit({**tables(runs, []), "scores": frame})
    kept = without_excluded(frame, findings)
    assert kept.equals(without_excluded(frame, exclusions(frame)))
    assert kept.filter(pl.col("base").is_in(["b0", "b1"]) & pl.col("gain").is_not_null()).is_empty()
    assert kept.filter((pl.col("base") == "b2") & (pl.col("gain") == 0.1)).height == len(BENCHMARKS) * 21
    assert kept.filter(pl.col("status") == "excluded")["checkpoint"].unique().sort().to_list() == ["b0", "b1"]
    answers = analysis_of_tables("copies", {**tables(runs, []), "scores": frame}, {})
    assert any(
        "Left out, as the audit found: the base b0 and the base b1" in text for text in answers.sentences("data")
    )


def test_scores_surely_below_chance_are_found():
    runs, scores = rows_of_study()
    for row in scores:
        if row["benchmark"] == "mmlu":
            row["value"] = 0.20 if row["base"] == "b0" else 0.24
    (finding,) = found(runs, scores, "below_chance")
    assert set(finding.rows["base"]) == {"b0"}
    assert "1 base among them" in finding.text


@pytest.mark.parametrize("scorer", ["likelihood", "generative"])
def test_advice_on_scores_below_chance_fits_how_they_were_scored(scorer):
    runs, scores = rows_of_study()
    for row in scores:
        if row["benchmark"] == "mmlu":
            row |= {"value": 0.20, "scorer": scorer}
    (finding,) = found(runs, scores, "below_chance")
    by_likelihood = scorer == "likelihood"
    assert ("score the choices by likelihood" in finding.advice) is not by_likelihood
    assert ("could not be read" in finding.why) is not by_likelihood


def test_unread_answers_are_found_where_they_differ_from_the_base():
    runs, scores = rows_of_study()
    for row in scores:
        if row["benchmark"] == "gsm8k" and row["checkpoint"] == "b1":
            row["unparsed"] = 400
    (finding,) = found(runs, scores, "unread_answers")
    assert "on gsm8k, 1 score of 84" in finding.text
    assert "in 20 of them" in finding.text or "20" in finding.text


@pytest.mark.parametrize("value", [1.2, -0.1, float("inf")])
def test_values_that_a_share_cannot_have_are_excluded(value):
    runs, scores = rows_of_study()
    scores[40]["value"] = value
    (finding,) = found(runs, scores, "impossible_values")
    assert finding.excluded["checkpoint"].to_list() == [scores[40]["checkpoint"]]
    assert finding.text.startswith("1 value of accuracy on ")
    assert finding.text.endswith(" is outside [0, 1]")


def test_values_at_the_edge_but_for_rounding_are_kept():
    runs, scores = rows_of_study()
    scores[40]["value"], scores[41]["value"] = 1.0 + 2e-16, -9.7e-17
    assert found(runs, scores, "impossible_values") == []


def test_value_of_an_unbounded_metric_that_is_not_finite_is_excluded():
    runs, scores = rows_of_study()
    scores[40] |= {"benchmark": "own", "metric": "score", "value": float("inf")}
    (finding,) = found(runs, scores, "impossible_values")
    assert finding.text == "1 value of score on own is not finite"


@pytest.mark.parametrize(("metric", "value"), [("bits_per_byte", 4.6), ("bleu_diff", -12.5), ("mcc", -0.2)])
def test_values_that_their_metric_can_have_are_kept_on_a_benchmark_of_shares(metric, value):
    runs, scores = rows_of_study()
    benchmark = "boolq" if metric == "bits_per_byte" else "truthfulqa"
    scores[40] |= {"benchmark": benchmark, "metric": metric, "value": value}
    assert found(runs, scores, "impossible_values") == []


def test_constant_benchmark_is_found():
    runs, scores = rows_of_study()
    for row in scores:
        if row["benchmark"] == "humaneval":
            row["value"] = 0.0
    (finding,) = found(runs, scores, "constant_values")
    assert "84 of 84 models" in finding.text


def test_method_that_had_a_schedule_of_its_own_is_confounded():
    runs, scores = rows_of_study()
    for row in runs:
        row["schedule"] = "cosine" if row["method"] == "lora" or row["seed"] == 1 else "constant"
    texts = [finding.text for finding in found(runs, scores, "confounded_factors")]
    assert any(text.startswith("method lora was only ever run with schedule cosine") for text in texts)


def test_batch_size_that_each_method_sets_is_no_confound():
    runs, scores = rows_of_study()
    for row in runs:
        row["batch_size"] = 32 if row["method"] == "full" else 128
    assert found(runs, scores, "confounded_factors") == []


def test_study_without_a_repeated_seed_is_told():
    runs, scores = rows_of_study()
    assert found([row for row in runs if row["seed"] == 0], scores, "missing_seeds")


def test_models_asked_different_items_are_found():
    runs, scores = rows_of_study()
    scores[0]["n"] = 900
    (finding,) = found(runs, scores, "unequal_items")
    assert "900 to 1,000 items" in finding.text


def test_examples_cut_under_one_base_only_are_found():
    runs, scores = rows_of_study()
    for row in runs:
        if row["base"] == "b2" and row["dataset"] == "d1":
            row["truncated"] = 300
    (finding,) = found(runs, scores, "unequal_examples")
    assert finding.text.startswith("of d1, 30 % of the examples were cut or dropped for b2")


def test_dropped_examples_are_a_share_of_those_asked_for():
    runs, scores = rows_of_study()
    for row in runs:
        if row["base"] == "b2" and row["dataset"] == "d1":
            row.update(examples=row["examples"] // 5, dropped=row["examples"] - row["examples"] // 5)
    (finding,) = found(runs, scores, "unequal_examples")
    assert finding.text.startswith("of d1, 80 % of the examples were cut or dropped for b2")


def test_unscored_base_is_found():
    runs, scores = rows_of_study()
    rest = [row for row in scores if not (row["checkpoint"] == "b1" and row["benchmark"] == "nq")]
    (finding,) = found(runs, rest, "missing_bases")
    assert "b1 was not scored as a base on 1 benchmark" in finding.text


def test_checkpoint_with_the_weights_of_its_base_is_found():
    runs, scores = rows_of_study()
    layers = from_rows(
        [{"checkpoint": "c", "part": "all", "relative_change": 0.0, "change_norm": 0.0, "run": "r", "epoch": 1}], LAYERS
    )
    findings = audit({**tables(runs, scores), "layers": layers})
    assert [finding.check for finding in findings] == ["untrained_models"]


def test_failed_cells_are_counted_with_the_most_frequent_reason():
    runs, scores = rows_of_study()
    for row in runs[:3]:
        row.update(status="failed", reason="out of memory")
    (finding,) = found(runs, scores, "unfinished")
    assert "3 rows of the table runs" in finding.text
    assert "out of memory" in finding.text


def test_broken_model_is_an_outlier():
    runs, scores = rows_of_study()
    index = next(place for place, row in enumerate(scores) if row["run"] and row["benchmark"] == "mmlu")
    scores[index]["value"] = 0.3
    (finding,) = found(runs, scores, "outliers")
    assert finding.rows["checkpoint"].to_list() == [scores[index]["checkpoint"]]

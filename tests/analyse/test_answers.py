"""Planted effects are named, absent ones are not, and half-done or strange studies still answer."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import sftlab
from sftlab.analyse.answers import analysis, answer_lines
from sftlab.analyse.frames import SCHEMAS
from sftlab.analyse.gain_sets import GainSet
from sftlab.analyse.properties import dataset_units, independent_datasets
from sftlab.analyse.ranking import LIKE_THESE, THESE, comparisons_frame, ranking_frame
from sftlab.errors import DataError
from sftlab.store import Store
from tests.analyse.synthetic import PLANTED, Design, answers, only, replace_rows, write


@pytest.mark.parametrize(("dataset", "benchmark"), PLANTED)
def test_planted_winner_is_first_and_surely_better_than_all(dataset, benchmark, planted_analysis):
    first = only(planted_analysis.ranking, benchmark=benchmark, population=LIKE_THESE, rank=1)
    assert first["dataset"] == dataset
    assert (first["n"], first["cells"]) == (4, 4)
    assert first["ci_low"] <= PLANTED[dataset, benchmark] <= first["ci_high"]
    won = planted_analysis.comparisons.filter(
        benchmark=benchmark, population=LIKE_THESE, dataset=dataset, verdict="higher"
    )
    assert won.height == 3


def test_overall_sentence_names_every_winner(planted_analysis):
    overall = planted_analysis.sentences("data")[0]
    for dataset, benchmark in PLANTED:
        assert f"{dataset} for {benchmark}" in overall
    assert "surely best" in overall


def test_sentence_carries_value_interval_and_n(planted_analysis):
    first = only(planted_analysis.ranking, benchmark="arithmetic_test", population=LIKE_THESE, rank=1)
    (sentence,) = planted_analysis.sentences("data", benchmark="arithmetic_test")
    assert f"{first['gain']:+.3g} bits per byte for the bases tried [" in sentence
    assert f"for new ones like these [{first['ci_low']:+.3g}, {first['ci_high']:+.3g}]" in sentence
    assert "n = 4 base families" in sentence
    assert "surely better than" in sentence


def test_effects_carry_the_numbers_of_their_sentences(planted_analysis):
    effects = [finding.effect for finding in planted_analysis.findings if finding.effect is not None]
    assert len(effects) > 5
    for effect in effects:
        assert effect.n > 0
        assert effect.ci_low is None or effect.ci_low <= effect.value <= effect.ci_high
        assert effect.estimand


def test_ranking_gain_is_the_mean_of_last_epoch_gains(planted_analysis, planted_tables):
    rows = planted_tables["scores"].filter(dataset="facts", benchmark="facts_quiz", epoch=2)
    assert rows.height == 16
    row = only(planted_analysis.ranking, benchmark="facts_quiz", dataset="facts", population=LIKE_THESE)
    assert row["gain"] == pytest.approx(rows["gain"].mean())
    of_base = rows.group_by("base").agg(pl.col("gain").mean())["gain"]
    assert row["se"] >= of_base.std() / 2
    assert only(planted_analysis.ranking, benchmark="facts_quiz", dataset="facts", population=THESE)["n"] == 150


def test_gain_cells_are_means_over_methods_and_seeds(planted_analysis, planted_tables):
    scores = planted_tables["scores"].filter(base="base1", dataset="code", benchmark="free_answers", epoch=2)
    cell = only(planted_analysis.gains, base="base1", dataset="code", benchmark="free_answers", method="all")
    lora = only(planted_analysis.gains, base="base1", dataset="code", benchmark="free_answers", method="lora")
    assert cell["gain"] == pytest.approx(scores["gain"].mean())
    assert lora["gain"] == pytest.approx(scores.filter(method="lora")["gain"].mean())
    assert (cell["n"], cell["seeds"], cell["items"], lora["n"]) == (4, 2, 150, 2)
    assert cell["ci_low"] < cell["gain"] < cell["ci_high"]


def test_single_run_interval_equals_that_of_the_scores_table(tmp_path):
    cells, store = write(Design(bases=1, datasets=("facts",), methods=("full",), seeds=1), tmp_path)
    found = analysis(cells, store)
    row = only(found.gains, benchmark="arithmetic_test", method="full")
    score = only(found_scores(cells, store), benchmark="arithmetic_test", epoch=2)
    assert (row["gain"], row["se"]) == pytest.approx((score["gain"], score["gain_se"]), rel=1e-5)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((score["gain_ci_low"], score["gain_ci_high"]), rel=1e-5)


def found_scores(cells, store):
    from sftlab.analyse.tables import table

    return table("scores", cells, store)


def test_planted_property_correlates_and_others_do_not(planted_analysis):
    wanted = {"benchmark": "arithmetic_test", "scope": "within", "kind": "pearson"}
    perplexity = only(planted_analysis.properties, property="response_perplexity", **wanted)
    points = planted_analysis.property_points.filter(benchmark="arithmetic_test", property="response_perplexity")
    centred = points.with_columns(pl.col("value", "gain") - pl.col("value", "gain").mean().over("family"))
    assert perplexity["correlation"] == pytest.approx(np.corrcoef(centred["value"], centred["gain"])[0, 1])
    assert perplexity["correlation"] < -0.9
    assert (perplexity["n"], perplexity["cells"]) == (4, 16)
    lengths = planted_analysis.properties.filter(pl.col("property").str.ends_with("tokens"))
    assert set(lengths["verdict"]) == {"cannot tell"}


def test_mixtures_add_no_independent_datasets_to_correlations(tmp_path):
    made_of = {"all": ("arithmetic", "facts", "code"), "without": ("facts", "code")}
    names = ("arithmetic", "facts", "code", *made_of)
    found = answers(tmp_path, bases=3, seeds=1, items=20, datasets=names, mixtures=made_of)
    within = found.properties.filter(pl.col("scope") == "within", pl.col("correlation").is_not_null())
    for frame in (within, found.layer_correlations.filter(pl.col("correlation").is_not_null())):
        assert frame.height > 0
        assert set(frame["n"]) == {3}
        assert set(frame["cells"]) == {15}
        assert frame["ci_low"].is_null().all()


def test_mixtures_alone_count_as_datasets_up_to_what_they_are_made_of():
    made_of = {"ab": frozenset("ab"), "abc": frozenset("abc")}
    assert independent_datasets(["ab", "abc"], made_of) == 2
    assert independent_datasets(["a", "b", "c", "ab", "abc"], made_of) == 3
    assert independent_datasets(["a", "d"], {}) == 2


@pytest.mark.parametrize(
    ("names", "sources", "units"),
    [
        ("abc", {}, {"a": "a", "b": "b", "c": "c"}),
        (["a", "b", "ab"], {"ab": "ab"}, {"a": "a", "b": "b"}),
        (["a", "bc"], {"bc": "bc"}, {"a": "a", "bc": "bc"}),
        (["ab", "cd"], {"ab": "ab", "cd": "cd"}, {"ab": "ab", "cd": "cd"}),
        (
            ["ab", "cd", "bc", "ef"],
            {"ab": "ab", "cd": "cd", "bc": "bc", "ef": "ef"},
            {"ab": "ab", "cd": "ab", "bc": "ab", "ef": "ef"},
        ),
    ],
)
def test_dataset_units_share_no_part(names, sources, units):
    assert dataset_units(names, {name: frozenset(parts) for name, parts in sources.items()}) == units


@pytest.mark.parametrize("frame", ["layer_change", "training"])
def test_mixtures_neither_narrow_nor_move_means_over_datasets(frame, tmp_path):
    made_of = {"all": ("arithmetic", "facts", "code"), "without": ("facts", "code")}
    names = ("arithmetic", "facts", "code")
    cells, store = write(Design(bases=2, seeds=1, items=20, datasets=(*names, *made_of), mixtures=made_of), tmp_path)
    runs = tuple(cell for cell in cells.runs if cell.spec.dataset in names)
    kept = {cell.spec.run for cell in runs} | {None}
    parts = replace(cells, runs=runs, scores=tuple(cell for cell in cells.scores if cell.run in kept))
    with_mixtures, alone = (getattr(analysis(known, store), frame) for known in (cells, parts))
    assert_frame_equal(with_mixtures, alone)
    assert set(alone["cells"]) == {6}


def test_planted_layer_goes_with_gain_and_the_change_grows_with_depth(planted_analysis):
    change = planted_analysis.layer_change.filter(method="full", part="all")
    assert change["depth"].to_list() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert only(change, depth=1.0)["relative_change"] == pytest.approx(0.02, rel=0.02)
    assert only(change, depth=0.0)["near_peak"] is False
    assert only(change, depth=1.0)["near_peak"] is True
    assert planted_analysis.layer_change.filter(part="embedding")["depth"].null_count() == 2
    for divided in (False, True):
        rows = planted_analysis.layer_correlations.filter(
            benchmark="arithmetic_test", method="full", divided_by_total=divided
        )
        strongest = rows.sort(pl.col("correlation").abs()).row(-1, named=True)
        assert (strongest["depth"], strongest["verdict"]) == (0.5, "higher")


def test_methods_are_compared_pairwise_and_null_difference_is_not_found(planted_analysis, planted_tables):
    row = only(planted_analysis.training, benchmark="arithmetic_test", factor="method")
    scores = planted_tables["scores"].filter(benchmark="arithmetic_test", epoch=2)
    means = {method: scores.filter(method=method)["gain"].mean() for method in ("lora", "full")}
    assert (row["level"], row["other"]) == ("lora", "full")
    assert row["difference"] == pytest.approx(means["lora"] - means["full"])
    assert (row["verdict"], row["n"], row["cells"]) == ("cannot tell", 4, 16)
    assert row["smallest_effect"] > 2.8 * row["se"]
    noise = only(planted_analysis.seed_noise, benchmark="arithmetic_test")
    assert noise["df"] == 32
    assert noise["sd"] == pytest.approx(0.02, rel=0.5)
    assert planted_analysis.training_points.filter(benchmark="arithmetic_test").height == 16


@pytest.mark.parametrize("cell_spread", [0.02, 0.3])
def test_planted_null_is_rarely_found(cell_spread):
    random = np.random.default_rng(0)
    false, wide = [], []
    for _ in range(200):
        sets = [null_gain_set(random, f"benchmark{place}", cell_spread) for place in range(3)]
        comparisons = comparisons_frame(sets).filter(population=LIKE_THESE)
        false.append(bool((comparisons["verdict"] == "higher").any()))
        ranking = ranking_frame(sets).filter(population=LIKE_THESE)
        wide.append(((ranking["ci_low"] <= 0) & (ranking["ci_high"] >= 0)).mean())
    assert np.mean(false) <= 0.06
    assert np.mean(wide) >= 0.92


def null_gain_set(random, benchmark, cell_spread, items=40):
    """Gains of 4 families x 4 datasets x 2 seeds around 0: shifts of families, cells, seeds, and of shared items."""
    of_item_DI = random.normal(0, 0.3, (4, items))
    cells = [(family, dataset, seed) for family in range(4) for dataset in range(4) for seed in range(2)]
    shift_F, shift_FD = random.normal(0, cell_spread, 4), random.normal(0, cell_spread, (4, 4))
    drift_R = random.normal(0, 0.02, len(cells))
    of_item_RI = np.array([of_item_DI[dataset] for _, dataset, _ in cells]) + random.normal(0, 0.1, (len(cells), items))
    rows = pl.DataFrame(
        [
            {
                "run": f"{family}{dataset}{seed}",
                "base": f"base{family}",
                "family": f"family{family}",
                "dataset": f"dataset{dataset}",
                "method": "full",
                "learning_rate": None,
                "samples": 100,
                "schedule": "constant",
                "epochs": 1,
                "batch_size": 8,
                "fixed_steps": None,
                "gain": shift_F[family] + shift_FD[family, dataset] + drift,
            }
            for (family, dataset, seed), drift in zip(cells, drift_R, strict=True)
        ]
    )
    mean_R = of_item_RI.mean(axis=1)
    pull_RI = ((of_item_RI - mean_R[:, None]) / items).astype(np.float32)
    return GainSet((benchmark, "likelihood", "score"), True, rows.with_columns(pl.col("gain") + mean_R), pull_RI)


def test_null_studies_rarely_find_anything(tmp_path):
    found = []
    for seed in range(8):
        store = tmp_path / str(seed)
        design = Design(planted={}, methods=("full",), seeds=1, epochs=1, items=40, seed=seed)
        comparisons = analysis(*write(design, store)).comparisons
        found.append(bool((comparisons.filter(population=LIKE_THESE)["verdict"] == "higher").any()))
    assert sum(found) <= 1


def test_answer_is_given_for_the_chosen_rate_only(tmp_path):
    found = answers(tmp_path, bases=2, seeds=1, items=20, rates=(1e-5, 1e-4), methods=("full",))
    assert set(found.gains["n"]) == {1}
    assert "learning_rate" not in set(found.training["factor"])


def test_json_form_is_strict_and_complete(planted_analysis):
    form = json.loads(json.dumps(planted_analysis.to_json(), allow_nan=False))
    assert set(SCHEMAS) < set(form)
    assert len(form["ranking"]) == planted_analysis.ranking.height
    assert form["sentences"]["data"] == list(planted_analysis.sentences("data"))


def test_lines_answer_which_data_first(planted_analysis):
    lines = answer_lines(planted_analysis)
    assert lines[0] == "Which data for which benchmark?"
    assert lines[1].startswith("  Which data, for the bases tried: surely best")
    assert len([line for line in lines if not line.startswith("  ")]) == 7


def test_table_without_items_is_answered_for_new_bases_alone():
    generator = np.random.default_rng(3)
    rows = [
        (base, dataset, 0.4 + 0.2 * (dataset == "math") + 0.01 * generator.normal(), "gsm8k")
        for base in "ABCD"
        for dataset in ("none", "math", "chat")
    ]
    table = pl.DataFrame(rows, schema=["base", "dataset", "value", "benchmark"], orient="row")
    said = sftlab.from_scores(table).analysis.sentences("data")
    first = said[0]
    assert first.startswith("Which data, for new bases like these (4 base families seen): surely best: math for gsm8k.")
    assert "for the bases tried:" not in first
    assert "Of the bases tried nothing is sure" in first
    assert any(one.startswith("Intervals speak of new bases like these (4 base families).") for one in said)
    alone = sftlab.from_scores(table.filter(pl.col("base") == "A")).analysis.sentences("data")
    assert any("intervals need paired items or repeated seeds, and there are none here." in one for one in alone)


def test_cells_without_gain_are_told_apart_by_status(tmp_path):
    found = answers(tmp_path, bases=1, seeds=1, items=20, pending_datasets=("chat",), failed_datasets=("code",))
    assert "2 cells have no gain (1 failed, 1 pending)." in found.sentences("gains")[-1]


def test_gain_is_not_pending_where_the_base_is_unfit(tmp_path):
    cells, store = write(Design(bases=2, seeds=1, items=20, datasets=("facts", "code")), tmp_path / "whole")
    partly = Store(tmp_path / "partly")
    for cell in cells.scores:
        rows = store.rows(cell.identity, "items")
        if cell.run is None and cell.base == "base1":
            rows = rows.with_columns(status=pl.lit("unfit"), score=None, log_likelihood=None)
        partly.commit(replace_rows(store.record(cell.identity), rows))
    found = analysis(cells, partly)
    unfit = found.gains.filter(base="base1", method="all")
    assert set(unfit["status"]) == {"unfit"}
    assert unfit["reason"].str.starts_with("the base: ").all()
    assert "2 cells have no gain (2 unfit)." in found.sentences("gains")[-1]


def test_two_datasets_show_no_property_and_layers_of_one_base_say_what_they_are_over(tmp_path):
    found = answers(tmp_path, bases=1, datasets=("arithmetic", "facts"), seeds=1, items=20, methods=("full",))
    assert all("2 datasets cannot show" in sentence for sentence in found.sentences("properties"))
    (moved,) = found.sentences("layers", subject="full")[:1]
    assert "n = 1 base, interval over 2 datasets alone" in moved
    assert "other correlation" not in "".join(answer_lines(found))


def test_depths_near_the_peak_do_not_count_the_peak(planted_analysis):
    for method in ("full", "lora"):
        near = planted_analysis.layer_change.filter(method=method, part="all", near_peak=True)["depth"].to_list()
        sentence = planted_analysis.sentences("layers", subject=method)[0]
        assert near[-1] == 1.0
        assert (f"{len(near) - 1} of the 4 other depths" in sentence) == (len(near) > 1)


def test_largest_of_several_gains_is_called_likely_too_high(tmp_path, planted_analysis):
    alone = answers(tmp_path, bases=1, datasets=("arithmetic",), seeds=1, items=20)
    *of_benchmarks, shared = planted_analysis.sentences("gains")
    assert all("of 16 base x dataset cells" in text for text in of_benchmarks)
    assert shared.startswith(f"On each of these {len(of_benchmarks)} benchmarks:")
    assert "likely too high" in shared
    assert not any("too high" in sentence for sentence in alone.sentences())


def test_intervals_that_correction_makes_no_finding_say_so(tmp_path):
    found = answers(tmp_path, items=60)
    row = only(
        found.properties, benchmark="arithmetic_test", property="response_perplexity", scope="within", kind="pearson"
    )
    assert (row["ci_high"] < 0, row["verdict"]) == (True, "cannot tell")
    assert "not corrected for 4 properties" in found.sentences("properties", benchmark="arithmetic_test")[0]


def test_sentences_of_an_unknown_section_are_refused_with_the_legal_ones(planted_analysis):
    with pytest.raises(
        DataError, match=r"no section 'dataa' of sentences \(did you mean 'data'\?\); legal: data, gains"
    ):
        planted_analysis.sentences("dataa")

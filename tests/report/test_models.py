"""What the page holds of every model: recipes, scores, losses and sample answers, within a budget."""

from datetime import datetime

import polars as pl
import pytest

from sftlab.report.columnar import coded, shortened
from sftlab.report.context import ReportContext
from sftlab.report.palette import palette
from sftlab.report.sections import samples
from sftlab.report.sections.material import Material
from sftlab.report.sections.models import has_models, model_data
from sftlab.report.sections.samples import sample_answers

from .synthetic import synthetic_tables
from .synthetic_analysis import empty_analysis, synthetic_analysis
from .test_browser_tools import richer_tables


def material(tables, analysis=None):
    return Material(
        analysis or synthetic_analysis(tables), tables, ReportContext("s", datetime(2025, 3, 1)), palette(tables)
    )


def levels(column):
    return [None if code < 0 else column["levels"][code] for code in column["codes"]]


def test_models_are_those_with_scores_with_their_gains_in_shown_units():
    tables = richer_tables()
    data = model_data(material(tables))
    done = tables["runs"].filter(status="done")
    assert levels(data["columns"]["run"]) == done["run"].to_list()
    assert [(one["benchmark"], one["unit"], one["better"], one["items"]) for one in data["outcomes"]] == [
        ("arithmetic", "bits per byte", -1, 80),
        ("facts", "points of accuracy", 1, 80),
    ]
    facts = dict(tables["scores"].filter(benchmark="facts").drop_nulls("run").select("run", "gain").iter_rows())
    assert data["gain"][1] == pytest.approx([100 * facts[run] for run in done["run"]], rel=1e-5)
    assert set(data["gain_se"][1]) == {2.5}
    assert data["facts"]["learning_rate"] == done["learning_rate"].to_list()


def test_recipe_names_what_differs_between_runs_of_a_method():
    tables = richer_tables()
    data = model_data(material(tables))
    assert levels(data["columns"]["recipe"])[0] == "alpaca \u00b7 full"
    sizes = tables["scores"].with_columns(
        samples=pl.when(pl.col("seed") == 0).then(1000).when(pl.col("seed") == 1).then(20_000)
    )
    told = model_data(material(tables | {"scores": sizes}))
    assert set(levels(told["columns"]["recipe"])) >= {
        "alpaca \u00b7 full \u00b7 1,000 samples",
        "code \u00b7 lora \u00b7 20,000 samples",
    }


def test_curves_keep_the_first_and_the_last_loss_of_every_run():
    tables = richer_tables()
    steps, values = model_data(material(tables))["curves"]["qwen-0.5b-gsm8k-lora-s1"]
    losses = tables["losses"].filter(run="qwen-0.5b-gsm8k-lora-s1").sort("step")
    assert (steps[0], steps[-1]) == (1, 96)
    assert [values[0], values[-1]] == pytest.approx([losses["loss"][0], losses["loss"][-1]], rel=1e-3)
    assert len(steps) <= 60


def test_sample_answers_are_those_that_changed_most_half_of_them_for_the_better():
    found = sample_answers(material(richer_tables()))
    rows = found["rows"]
    of_run = [place for place, run in enumerate(levels(rows["run"])) if run == "qwen-0.5b-alpaca-full-s0"]
    changes = [rows["score"][place] - rows["base_score"][place] for place in of_run]
    assert changes == [1.0, 1.0, 1.0, -1.0, -1.0, -1.0]
    answers = [(levels(rows["base_answer"])[place], levels(rows["answer"])[place]) for place in of_run]
    items = [levels(rows["item"])[place] for place in of_run]
    assert answers == [
        (f"answer {item} of qwen-0.5b-e0", f"answer {item} of qwen-0.5b-alpaca-full-s0-e3") for item in items
    ]
    tallies = found["tallies"]
    place = levels(tallies["run"]).index("qwen-0.5b-alpaca-full-s0")
    assert (tallies["higher"][place], tallies["lower"][place], tallies["both"][place]) == (6, 4, 20)


def test_an_answer_stands_with_its_prompt_the_gold_answer_and_what_was_read_out_of_it():
    tables = richer_tables()
    answer = pl.col("answer")
    written = pl.when(answer.str.contains("alpaca")).then("so it is " + answer).otherwise(answer)
    items = tables["items"].with_columns(written.alias("written"))
    names = items.select("benchmark", "item").unique()
    questions = names.with_columns(prompt=pl.lit("x" * 2000) + pl.col("item"), gold="right " + pl.col("item"))
    rows = sample_answers(material(tables | {"items": items, "questions": questions}))["rows"]
    shown = list(
        zip(*(levels(rows[name]) for name in ("run", "item", "prompt", "gold", "answer", "read")), strict=True)
    )
    assert {(len(prompt), prompt.strip("x") == item, gold) for _, item, prompt, gold, _, _ in shown} == {
        (600, True, f"right {item}") for _, item, *_ in shown
    }
    read = {(run, answer == f"so it is {part}" if part else None) for run, _, _, _, answer, part in shown}
    assert read == {(run, True if "alpaca" in run else None) for run, *_ in shown}


def test_more_models_have_fewer_and_shorter_answers(monkeypatch):
    monkeypatch.setattr(samples, "BUDGET_ROWS", 20)
    monkeypatch.setattr(samples, "BUDGET_CHARACTERS", 1)
    monkeypatch.setattr(samples, "FEWEST_CHARACTERS", 6)
    found = sample_answers(material(richer_tables()))
    assert found["most"] == 2
    assert all(len(answer) <= 6 for answer in found["rows"]["answer"]["levels"])
    runs = levels(found["rows"]["run"])
    assert max(runs.count(run) for run in runs) == 2


def test_study_without_items_or_scores_has_nothing_to_look_into():
    tables = synthetic_tables()
    assert sample_answers(material(tables)) is None
    assert not has_models(material({}, empty_analysis()))
    assert model_data(material({"runs": tables["runs"]}, empty_analysis())) is None


def test_coded_column_names_each_level_once_and_unknown_is_minus_one():
    assert coded(["b", None, "a", "b"]) == {"levels": ["b", "a"], "codes": [0, -1, 1, 0]}
    assert shortened(0.123456789) == 0.1234568
    assert shortened(None) is None

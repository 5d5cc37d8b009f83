"""The answer: datasets without a rank, how sure each pair is, and what the design could have seen."""

from dataclasses import replace
from datetime import datetime

import pytest

from sftlab.analyse.answers import STATE
from sftlab.analyse.data_findings import INTERVALS
from sftlab.analyse.effects import Finding
from sftlab.analyse.frames import framed
from sftlab.analyse.power import LAYER, PAIR, PROPERTY
from sftlab.report.context import ReportContext
from sftlab.report.palette import Palette
from sftlab.report.sections.answer import answer
from sftlab.report.sections.material import Material
from sftlab.report.sections.training import training

from .synthetic_analysis import empty_analysis

OUTCOME = {"benchmark": "facts", "scorer": "likelihood", "metric": "accuracy", "main": True, "unit": "accuracy"}
LIKE_THESE = {**OUTCOME, "population": "bases like these", "n": 3}


def ranked(dataset, gain, rank):
    return {**LIKE_THESE, "dataset": dataset, "gain": gain, "rank": rank, "ci_low": gain - 0.1, "ci_high": gain + 0.1}


def compared(dataset, other, difference, verdict):
    ends = {"ci_low": difference - 0.1, "ci_high": difference + 0.1}
    return {**LIKE_THESE, "dataset": dataset, "other": other, "difference": difference, "verdict": verdict, **ends}


def of_question(question, effect, **columns):
    return {**OUTCOME, "question": question, "smallest_effect": effect, "questions": 12, "n": 3, **columns}


@pytest.fixture
def blocks():
    return blocks_of(
        answer,
        ranking=[ranked("x", 0.1, 1), ranked("y", -0.2, 2), ranked("mixed", 0.3, None)],
        comparisons=[compared("x", "z", 0.05, "cannot tell"), compared("x", "y", 0.3, "higher")],
        power=[
            of_question(PAIR, 0.115, population="bases like these"),
            of_question(PAIR, 1.2, population="these bases", n=100),
            of_question(PAIR, 0.5, population="these bases", main=False),
            of_question(PROPERTY, 0.9, unit="correlation"),
            of_question(LAYER, 0.8, unit="correlation"),
            of_question("method: full minus lora", 0.02),
        ],
    )


def blocks_of(section, **rows):
    frames = {name: framed(name, of_frame) for name, of_frame in rows.items()}
    analysis = replace(empty_analysis(), **frames)
    colours = Palette(bases=("a",), datasets=("x", "y", "mixed"), methods=("full",))
    made = section(Material(analysis, {}, ReportContext("study", datetime(2025, 3, 1)), colours))
    return {block.key: block for block in made.blocks if block.kind != "prose"}


def test_headline_is_the_answer_and_what_is_not_done_and_how_to_take_it_come_after():
    said = [("Of 9 scores, 1 is not done.", STATE), ("Which data: x.", None), ("Intervals speak of x.", INTERVALS)]
    findings = tuple(Finding("data", text, subject=subject) for text, subject in said)
    analysis = replace(empty_analysis(findings=findings), ranking=framed("ranking", [ranked("x", 0.1, 1)]))
    made = answer(Material(analysis, {}, ReportContext("study", datetime(2025, 3, 1)), Palette((), ("x",), ())))
    prose = [(block.sentences, block.headline) for block in made.blocks if block.kind == "prose"]
    assert prose == [
        (("Which data: x.",), True),
        (("Of 9 scores, 1 is not done.",), False),
        (("Intervals speak of x.",), False),
    ]


def test_bases_tried_of_which_no_interval_is_known_are_not_listed_beside_bases_like_these():
    of_these = {**ranked("x", 0.1, 1), "population": "these bases", "ci_low": None, "ci_high": None, "n": 0}
    found = blocks_of(answer, ranking=[ranked("x", 0.1, 1), of_these])
    assert column(found["means"], "counted") == ["3 base families"]
    alone = blocks_of(answer, ranking=[of_these])
    assert column(alone["means"], "counted") == ["unknown number of items"]


def test_items_of_bases_that_have_different_numbers_of_them_are_told_as_a_range():
    of_these = {**ranked("x", 0.1, 1), "population": "these bases", "n": 33}
    rows = [{**of_these, "fewest_items": fewest} for fewest in (1, 33)]
    found = blocks_of(answer, ranking=rows)
    assert column(found["means"], "counted") == ["1 to 33 items", "33 items"]


def column(table, name):
    place = next(place for place, one in enumerate(table.columns) if one.name == name)
    return [row[place] for row in table.rows]


def test_dataset_without_a_rank_stands_behind_the_ranked_and_the_figure_says_why(blocks):
    (variant,) = blocks["ranking"].variants
    axis = variant.figure["layout"]["yaxis"]
    assert axis["ticktext"] == ["x", "y", "mixed (not ranked)"]
    assert variant.figure["layout"]["meta"]["y"]["names"] == ["x", "y", "mixed"]
    marks = [trace for trace in variant.figure["data"] if trace["mode"] == "markers"]
    assert [mark["x"][0] for mark in marks] == pytest.approx([10.0, -20.0, 30.0])
    assert "not ranked: tried with other recipes" in marks[-1]["hovertext"][0]
    assert "n = 3 base families" in marks[0]["hovertext"][0]
    behind = "Behind the ranked stand datasets that were tried with other recipes or on other bases than those ranked."
    assert behind in variant.caveats


def test_table_of_means_has_every_rank_in_shown_units(blocks):
    table = blocks["means"]
    assert column(table, "rank") == [1, 2, None]
    assert column(table, "gain") == pytest.approx([10, -20, 30])
    assert column(table, "unit") == ["points of accuracy"] * 3
    assert column(table, "counted") == ["3 base families"] * 3
    assert column(table, "unranked") == [None, None, "tried with other recipes or on other bases than those ranked"]


def test_datasets_without_any_common_recipe_are_all_told_to_be_unranked():
    found = blocks_of(answer, ranking=[ranked("x", 0.1, None), ranked("y", 0.2, None)])
    (variant,) = found["ranking"].variants
    assert "None is ranked: no recipe and base are common to all datasets." in variant.caveats


def test_pairs_begin_with_how_sure_they_are_and_the_sure_come_first(blocks):
    table = blocks["comparisons"]
    assert table.columns[0].name == "verdict"
    assert column(table, "verdict") == ["surely higher", "cannot tell"]
    assert column(table, "difference") == pytest.approx([30, 5])


def test_what_the_design_could_have_seen_is_a_table_of_its_question_alone(blocks):
    table = blocks["power"]
    assert column(table, "effect") == [
        "11.5 points of accuracy",
        "more than 100 points",
    ]
    assert column(table, "n") == [3, 100]
    assert column(table, "population") == ["bases like these", "these bases"]
    assert "question" not in [one.name for one in table.columns]


def test_training_choices_have_their_own_smallest_effects():
    difference = {**OUTCOME, "factor": "method", "level": "full", "other": "lora", "difference": 0.01, "n": 3}
    power = [of_question("method: full minus lora", 0.02), of_question(PROPERTY, 0.9, unit="correlation")]
    found = blocks_of(training, training=[difference], power=power)
    assert column(found["power"], "effect") == ["2 points of accuracy"]

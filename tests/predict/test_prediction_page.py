"""The numbers of docs/prediction.md are those that the released rows give, and its examples run."""

import doctest
import re
from pathlib import Path

import polars as pl
import pytest
import typer

from sftlab.analyse.gain_sets import gain_sets
from sftlab.analyse.results import imported_results
from sftlab.analyse.schemas import DATA, SCORES, conformed
from sftlab.cli import app
from sftlab.predict.choosing import judged
from sftlab.predict.gain_table import gain_table
from sftlab.predict.skill import difference, estimate
from sftlab.release.imports.massive_sft import massive_sft

PAGE = Path(__file__).resolve().parents[2] / "docs" / "prediction.md"
FOUR = r"(\S+) \[(\S+), (\S+)\]"


@pytest.fixture(scope="module")
def results(shared):
    return imported_results(massive_sft(shared / "data" / "published" / "massive_sft_7_bases.csv", {}))


@pytest.fixture(scope="module")
def page() -> str:
    return " ".join(PAGE.read_text().split())


def table_of(results, method: str | None):
    scores = results.audited_scores
    if method is not None:
        scores = scores.filter((pl.col("method") == method) | (pl.col("dataset") == "none"))
    return gain_table(gain_sets(scores), scores, results.data(), sources=results.sources)


def numbers(page: str, pattern: str) -> list[float]:
    found = re.search(pattern, page)
    assert found, pattern
    return [float(number) for number in found.groups()]


def ends(found) -> list[float]:
    return [found.value, found.ci_low, found.ci_high]


@pytest.mark.parametrize(
    ("method", "row"),
    [(None, "all recipes"), ("full", "full fine-tuning"), ("lora", "LoRA")],
    ids=["all", "full", "lora"],
)
def test_accuracy_for_a_new_base_on_the_released_rows(results, page, method, row) -> None:
    held = judged(table_of(results, method), "new_base").held
    said = numbers(page, rf"\| {row} \| {FOUR} \| {FOUR} \| {FOUR} \| (\S+) \|")
    accuracy = {name: ends(estimate(one, "decision_accuracy", None)) for name, one in held.items()}
    beyond = ends(difference(held["mixed_model"], held["mean_of_other_bases"]))
    expected = [*accuracy["mean_of_other_bases"], *accuracy["mixed_model"], *beyond, accuracy["nearest_base"][0]]
    assert said == pytest.approx(expected, abs=0.00051)
    assert (beyond[1] > 0) == (method != "full")
    assert estimate(held["chosen"], "decision_accuracy", None).n == 6


def test_width_and_coverage_on_the_released_rows(results, page) -> None:
    table = table_of(results, None)
    held = judged(table, "new_base").held
    place = [scale.benchmark for scale in table.scales].index("mmlu-5shot")
    ours, theirs = (estimate(held[name], "width", place).value for name in ("mixed_model", "mean_of_other_bases"))
    said = numbers(page, r"5-shot (\S+) wide on average, against (\S+)\) and held (\S+) % \[(\S+), (\S+)\]")
    coverage = [100 * end for end in ends(estimate(held["mixed_model"], "coverage", None))]
    assert said[:2] == pytest.approx([ours, theirs], abs=0.0051)
    assert said[2:] == pytest.approx(coverage, abs=0.51)


@pytest.mark.long
def test_accuracy_for_gaps_on_the_released_rows(results, page) -> None:
    held = judged(table_of(results, None), "gap").held
    said = numbers(page, rf"For gaps it is (\S+) against (\S+), ahead by {FOUR}\.")
    accuracy = [
        estimate(held[name], "decision_accuracy", None).value for name in ("mean_of_other_bases", "mixed_model")
    ]
    beyond = ends(difference(held["mixed_model"], held["mean_of_other_bases"]))
    assert said == pytest.approx([*accuracy, *beyond], abs=0.00051)


@pytest.fixture(scope="module")
def tiny_models():
    folder = PAGE.parent / "tiny-models-study"
    scores, data = (
        conformed(pl.read_csv(folder / f"{name}.csv.gz", infer_schema_length=None), schema)
        for name, schema in (("scores", SCORES), ("data", DATA))
    )
    return gain_table(gain_sets(scores), scores, data)


def test_accuracy_for_a_new_family_of_tiny_models(tiny_models, page) -> None:
    found = judged(tiny_models, "new_base")
    said = numbers(page, rf"the other bases orders {FOUR} of pairs and the mixed model {FOUR}: three families")
    names = ("mean_of_other_bases", "mixed_model")
    assert said == pytest.approx(
        [end for name in names for end in ends(estimate(found.held[name], "decision_accuracy", None))], abs=0.00051
    )
    assert found.choice == "mean_of_other_bases"


@pytest.mark.long
def test_accuracy_for_new_data_on_tiny_models(tiny_models, page) -> None:
    held = judged(tiny_models, "new_dataset").held
    said = numbers(page, rf"length alone orders {FOUR} of pairs, perplexity {FOUR}, and .*? properties, {FOUR} \(ten")
    names = ("length", "perplexity", "mixed_model")
    expected = [end for name in names for end in ends(estimate(held[name], "decision_accuracy", None))]
    assert said == pytest.approx(expected, abs=0.00051)


def test_examples_of_the_page_give_what_it_says() -> None:
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.attempted > 10
    assert found.failed == 0


def test_every_command_of_the_page_exists_with_its_options() -> None:
    command = typer.main.get_command(app).commands["predict"]  # type: ignore[attr-defined]
    options = {name for parameter in command.params for name in parameter.opts}
    lines = re.findall(r"^sftlab predict (.*?)(?:#.*)?$", PAGE.read_text(), flags=re.MULTILINE)
    assert lines
    assert {word for line in lines for word in re.findall(r"(?<!\S)--[\w-]+", line)} <= options

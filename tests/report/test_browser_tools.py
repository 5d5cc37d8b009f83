"""Filters, leaderboard and explorer of the page in a real browser, against the same numbers worked out here."""

import statistics
from datetime import datetime

import polars as pl
import pytest
from scipy import stats

from sftlab.report.context import ReportContext
from sftlab.report.page import render

from .browser import probed
from .synthetic import BASES, DATASETS, METHODS, synthetic_tables
from .synthetic_analysis import synthetic_analysis

PROBE = """
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const found = { quantiles: [1, 3, 7, 79, 499].map(tQuantile), holm: holm([0.01, 0.04, 0.03, 0.5]),
    p: [[0.5, 2], [2.1, 6], [4, 79]].map(([t, df]) => twoSided(t, df)) };
  const told = (element) => element.dispatchEvent(new Event("change", { bubbles: true }));
  const change = (element, value) => { element.value = value; told(element); };
  const tick = (facet, ...levels) => {
    const inputs = all(`.pick[data-facet=${facet}] input`);
    inputs.forEach((input) => { input.checked = levels.includes(input.value); });
    told(inputs[0]);
  };
  dispatchEvent(new Event("beforeprint"));
  const board = document.querySelector(".board-mount");
  const rows = () => all("tbody tr", board).map((row) => [...row.children].map((cell) => cell.textContent));
  const answer = () => board.querySelector(".board-answer").textContent;
  const [kind, goal, population] = board.querySelectorAll("select");
  change(population, "new bases like these");
  found.recipes = rows();
  found.answer = answer();
  change(population, "the bases tried");
  found.tried = rows();
  change(population, "new bases like these");
  all("button", board).find((button) => button.textContent === "Add a floor").click();
  const most = board.querySelector(".floor input");
  most.value = "0";
  most.dispatchEvent(new Event("input"));
  found.floored = rows();
  found.flooredAnswer = answer();
  board.querySelector(".floor button").click();
  change(kind, "models");
  found.models = rows();
  change(kind, "recipes");
  const plots = () => all("#gains-map figure:not([hidden]) .plot");
  const redrawn = () => dispatchEvent(new Event("beforeprint"));
  found.mapsBefore = plots().map((plot) => plot.layout.xaxis.ticktext);
  tick("base", "olmo-1b", "qwen-0.5b");
  tick("dataset", "gsm8k");
  redrawn();
  found.status = document.querySelector("#filter-status").textContent;
  const cells = (plot) => plot.data.filter((trace) => trace.type === "heatmap").map((trace) => trace.z);
  found.maps = plots().map((plot) => [plot.layout.xaxis.ticktext, plot.layout.yaxis.ticktext, cells(plot)]);
  found.narrowedRecipes = rows();
  found.rows = document.querySelector("#scores-all [role=status]").textContent;
  found.reach = document.querySelector("#answer-ranking figure:not([hidden]) .reach").textContent;
  tick("benchmark", "facts");
  redrawn();
  const labels = all("#answer-ranking figure:not([hidden]) .variant-label");
  found.labels = labels.map((label) => label.firstChild.textContent);
  document.querySelector("#filters > button:not(#theme)").click();
  redrawn();
  found.cleared = [document.querySelector("#filter-status").textContent, plots().length];
  const form = document.querySelector(".cell-picker");
  form.elements.base.value = "qwen-0.5b";
  form.elements.dataset.value = "alpaca";
  form.elements.benchmark.value = "facts";
  form.requestSubmit();
  const dialogue = document.querySelector("#explorer");
  found.explored = [dialogue.open, dialogue.textContent, dialogue.querySelectorAll(".curve .main-svg").length > 0];
  dialogue.close();
  openFromPlot(plots()[0], { points: [{ x: 1, y: 0, data: { type: "heatmap" } }] });
  found.clicked = dialogue.querySelectorAll("select")[2].value;
  dialogue.close();
  exploreCell({ base: "gemma-1b", dataset: "code" });
  found.hole = dialogue.textContent;
  dialogue.close();
  document.querySelector("#theme").click();
  found.theme = document.documentElement.dataset.theme;
  const focusable = all("summary, button, select, input, a[href], [tabindex]");
  const named = (one) => one.textContent.trim() || one.getAttribute("aria-label") || one.closest("label");
  found.unnamed = focusable.filter((one) => !named(one)).map((one) => one.outerHTML);
  found.skipped = focusable.filter((one) => one.tabIndex < 0).length;
"""
ITEMS = 20


def richer_tables():
    """The made-up study with standard errors and a few items."""
    tables = synthetic_tables()
    scores = tables["scores"].with_columns(
        gain_se=pl.when(pl.col("gain").is_not_null()).then(0.025), gain_n=80, main=True,
        higher_is_better=pl.col("metric") == "accuracy",
    )  # fmt: skip
    answered = scores.filter(benchmark="facts", status="done", base="qwen-0.5b")
    items = [
        {"checkpoint": row["checkpoint"], "benchmark": "facts", "item": str(item), "scorer": "likelihood",
         "metric": "accuracy", "score": float(item < 12 if row["run"] is None else 4 <= item < 18),
         "answer": f"answer {item} of {row['checkpoint']}", "parsed": True, "status": "done"}
        for row in answered.iter_rows(named=True) for item in range(ITEMS)
    ]  # fmt: skip
    return tables | {"scores": scores, "items": pl.DataFrame(items)}


@pytest.fixture(scope="module")
def tables():
    return richer_tables()


@pytest.fixture(scope="module")
def found(tables, tmp_path_factory):
    page = render(synthetic_analysis(tables), tables, ReportContext("study", datetime(2025, 3, 1)))
    return probed(page, PROBE, tmp_path_factory.mktemp("browser"))


def test_no_error_whatever_the_reader_does(found):
    assert found["errors"] == []


def test_statistics_of_the_page_equal_those_of_scipy(found):
    assert found["quantiles"] == pytest.approx([stats.t.ppf(0.975, df) for df in (1, 3, 7, 79, 499)], rel=1e-6)
    expected = [2 * stats.t.sf(t, df) for t, df in ((0.5, 2), (2.1, 6), (4, 79))]
    assert found["p"] == pytest.approx(expected, rel=1e-6)
    assert found["holm"] == pytest.approx([0.04, 0.09, 0.09, 0.5])


def by_base(tables, dataset, method, benchmark):
    of = tables["scores"].filter(dataset=dataset, method=method, benchmark=benchmark).drop_nulls("gain")
    return {base: rows["gain"].mean() for (base,), rows in of.group_by("base", maintain_order=True)}


def number(text):
    return float(text.replace("\u2212", "-").replace("+", ""))


def ends(text):
    value, rest = text.split(" [")
    low, high = rest.rstrip("]").split(", ")
    return [number(one) for one in (value, low, high)]


def test_leaderboard_ranks_recipes_on_all_bases_with_intervals_over_families(found, tables):
    means = {}
    for dataset in DATASETS:
        for method in METHODS:
            gains = by_base(tables, dataset, method, "arithmetic")
            if len(gains) == len(BASES):
                means[f"{dataset} \u00b7 {method}"] = list(gains.values())
    order = sorted(means, key=lambda name: -statistics.fmean(means[name]))
    ranked = [row for row in found["recipes"] if row[0] != "\u2013"]
    assert [row[1] for row in ranked] == order
    best = means[order[0]]
    half = stats.t.ppf(0.975, 3) * statistics.stdev(best) / 2
    mean = statistics.fmean(best)
    assert ends(ranked[0][3]) == pytest.approx([mean, mean - half, mean + half], rel=0.01)
    elsewhere = {row[1] for row in found["recipes"] if row[2] == "other bases"}
    assert elsewhere == {"code \u00b7 full", "code \u00b7 lora", "dolly \u00b7 lora"}


def test_leaderboard_of_the_bases_tried_counts_items_as_shared_and_seeds_as_pooled(found, tables):
    best = next(row for row in found["tried"] if row[0] == "1")
    recipe = best[1].split(" \u00b7 ")
    seeds = tables["scores"].filter(dataset=recipe[0], method=recipe[1], benchmark="arithmetic")["seed"].n_unique()
    items, of_seeds = 0.025**2, 0.02**2 / seeds / len(BASES)
    df = (items + of_seeds) ** 2 / (items**2 / 79 + of_seeds**2 / 15)
    mean, half = statistics.fmean(by_base(tables, *recipe, "arithmetic").values()), (items + of_seeds) ** 0.5
    expected = [mean, mean - stats.t.ppf(0.975, df) * half, mean + stats.t.ppf(0.975, df) * half]
    assert ends(best[3]) == pytest.approx(expected, rel=0.01)
    on_facts = statistics.fmean(by_base(tables, *recipe, "facts").values())
    assert number(best[-1]) == pytest.approx(100 * on_facts, rel=0.01)


def test_leaderboard_ties_what_cannot_be_told_from_the_best_after_holm(found, tables):
    ranked = [row for row in found["recipes"] if row[0] != "\u2013"]
    best, *rivals = (by_base(tables, *row[1].split(" \u00b7 "), "arithmetic") for row in ranked)
    p = [stats.ttest_rel([best[base] for base in BASES], [rival[base] for base in BASES]).pvalue for rival in rivals]
    order = sorted(range(len(p)), key=lambda place: p[place])
    rejected, alive = set(), True
    for rank, place in enumerate(order):
        alive = alive and p[place] * (len(p) - rank) <= 0.05
        if alive:
            rejected.add(place)
    expected = ["behind" if place in rejected else "tied with the best" for place in range(len(p))]
    assert [row[2] for row in ranked[1:]] == expected
    assert "behind" in expected
    assert "tied with the best" in expected
    assert found["answer"].startswith(f"For arithmetic, without any floor: {ranked[0][1]} gains most")


def test_floor_leaves_out_what_falls_below_it_and_the_answer_says_so(found, tables):
    broken = set()
    for dataset in DATASETS:
        for method in METHODS:
            gains = by_base(tables, dataset, method, "facts")
            if statistics.fmean(gains.values()) < 0:
                broken.add(f"{dataset} \u00b7 {method}")
    assert broken
    assert {row[1] for row in found["floored"] if row[2] == "breaks a floor"} == broken
    assert "keeping facts not down by more than 0" in found["flooredAnswer"]
    assert not any(row[0] != "\u2013" and row[1] in broken for row in found["floored"])


def test_models_are_ranked_by_their_scores_the_lowest_bits_first(found, tables):
    values = tables["scores"].filter(benchmark="arithmetic").filter(pl.col("run").is_not_null())["value"].drop_nulls()
    shown = [number(row[3].split(" ")[0]) for row in found["models"]]
    assert shown == pytest.approx(sorted(values)[: len(shown)], abs=0.006)


def test_filters_act_on_maps_tables_and_the_leaderboard_at_once(found, tables):
    assert found["mapsBefore"] == [list(DATASETS)] * len(found["mapsBefore"])
    for across, down, _ in found["maps"]:
        assert across == ["gsm8k"]
        assert down == ["olmo-1b", "qwen-0.5b"]
    shown = [trace for _, _, traces in found["maps"] for trace in traces]
    assert shown
    assert all(len(trace) == 2 and len(trace[0]) == 1 for trace in shown)
    assert found["status"] == "8 of 58 models"
    assert {row[1] for row in found["narrowedRecipes"]} == {"gsm8k \u00b7 full", "gsm8k \u00b7 lora"}
    left = tables["scores"].filter(
        pl.col("base").is_in(["olmo-1b", "qwen-0.5b"]), pl.col("dataset").is_in(["gsm8k", "none"])
    )
    assert f"of {left.height} rows (136 without the filter)" in found["rows"]
    assert found["labels"] == ["facts"]
    assert found["cleared"] == ["", len(found["mapsBefore"])]


def test_figure_that_a_filter_cannot_reach_says_so(found):
    assert found["reach"].startswith("Over every base: the filter does not reach")


def test_cell_leads_to_recipe_losses_and_answers_beside_the_base(found):
    is_open, text, drawn = found["explored"]
    assert is_open
    assert drawn
    for said in (
        "alpaca \u00b7 full",
        "learning rate0.00001",
        "Training loss",
        "Of 20 items that both answered, 6 scored better and 4 worse",
    ):
        assert said in text
    assert "answer 12 of qwen-0.5b-alpaca-full-s0-e3" in text
    assert "answer 12 of qwen-0.5b-e0" in text
    assert found["clicked"] == "olmo-1b-gsm8k-full-s0"
    assert "No model of gemma-1b trained on code has been scored" in found["hole"]


def test_theme_is_switched_and_every_control_has_a_name_and_a_place_in_the_tab_order(found):
    assert found["theme"] in ("light", "dark")
    assert found["unnamed"] == []
    assert found["skipped"] == 0

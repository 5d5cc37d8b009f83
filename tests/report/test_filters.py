"""Whatever the reader chooses, each figure and each table of the page follows or says that it cannot."""

from dataclasses import replace
from datetime import datetime

import pytest

from sftlab.analyse.frames import framed
from sftlab.analyse.power import PAIR
from sftlab.report.context import ReportContext
from sftlab.report.page import render

from .browser import probed
from .synthetic import synthetic_tables
from .synthetic_analysis import synthetic_analysis

PROBE = """
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const name = (element) => element.closest("[id]").id + ": " + (element.getAttribute("aria-label") ?? "");
  const about = (own, facet) => facet in own || (facet === "family" && "base" in own);
  const before = (trace, facet) => [trace.meta?.[facet]].flat().every((level) => level === null || level === "none");
  const tell = () => { for (const listener of filterListeners) listener(); dispatchEvent(new Event("beforeprint")); };
  const rows = (holder) => holder.querySelector("tbody").textContent + holder.querySelector(".pager").textContent;
  tell();
  const whole = new Map(all(".datatable").map((holder) => [holder, rows(holder)]));
  const drawn = (plot) => JSON.stringify([plot.data.map((trace) => [trace.x, trace.y, trace.z]), plot.layout.yaxis]);
  const seen = new Map(all("figure:not([hidden]) .plot").map((plot) => [plot, drawn(plot)]));
  const found = { facets: {}, rows: {}, none: document.querySelectorAll(".reach:not(:empty)").length };
  for (const [facet, levels] of Object.entries({ ...facets.levels, scorer: ["generative", "likelihood"] })) {
    chosen.clear();
    chosen.set(facet, new Set([levels[0]]));
    tell();
    const silent = [];
    for (const variant of all("figure.variant")) {
      const own = facetsOf(variant);
      if (!allowedAll(own) || about(own, facet)) continue;
      const figure = JSON.parse(variant.querySelector("script.figure").textContent);
      if (figure.data.every((trace) => before(trace, facet))) continue;
      const follows = JSON.stringify(narrowed(figure)) !== JSON.stringify(figure);
      if (!follows && !beyondWords(knownFacets(figure, own))) silent.push(name(variant.querySelector(".plot")));
    }
    for (const [plot, was] of seen) {
      const variant = plot.closest("figure");
      if (variant.hidden || about(facetsOf(variant), facet)) continue;
      if (plot.figure.data.every((trace) => before(trace, facet))) continue;
      if (drawn(plot) === was && !variant.querySelector(".reach").textContent) silent.push(`drawn ${name(plot)}`);
    }
    for (const [holder, was] of whole) {
      if (rows(holder) === was && !holder.querySelector(".reach").textContent) silent.push(name(holder));
    }
    found.facets[facet] = silent;
    found.rows[facet] = all("#answer-comparisons tbody tr").map((row) => row.children[1].textContent);
  }
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    tables = synthetic_tables()
    made = synthetic_analysis(tables)
    power = [
        {"benchmark": benchmark, "scorer": "likelihood", "metric": "accuracy", "main": True, "unit": "accuracy"}
        | {"question": PAIR, "population": "these bases", "smallest_effect": 0.1, "questions": 6, "n": 4}
        for benchmark in ("facts", "other")
    ]
    page = render(replace(made, power=framed("power", power)), tables, ReportContext("study", datetime(2025, 3, 1)))
    return probed(page, PROBE, tmp_path_factory.mktemp("browser"))


@pytest.mark.parametrize("facet", ["base", "family", "dataset", "method", "benchmark", "scorer"])
def test_every_figure_and_table_follows_a_filter_or_says_that_it_cannot(found, facet):
    assert found["errors"] == []
    assert found["facets"][facet] == []


def test_nothing_is_said_while_nothing_is_chosen(found):
    assert found["none"] == 0


def test_pairs_are_left_only_where_both_datasets_are_chosen(found):
    assert found["rows"]["dataset"] == []
    assert found["rows"]["benchmark"]

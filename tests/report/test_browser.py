"""The script of the page in a real browser: figures are drawn, tables sort, filter and save."""

from datetime import datetime

import pytest

from sftlab.report.context import ReportContext
from sftlab.report.page import render

from .browser import probed
from .synthetic import synthetic_tables
from .synthetic_analysis import synthetic_analysis

PROBE = """
  dispatchEvent(new Event("beforeprint"));
  dispatchEvent(new Event("afterprint"));
  const scores = document.querySelector("#scores-all");
  const texts = (place) => [...scores.querySelectorAll("tbody tr")].map((row) => row.children[place].textContent);
  const head = (title) => [...scores.querySelectorAll("th")].findIndex((cell) => cell.textContent === title);
  const tally = () => scores.querySelector("[role=status]").textContent;
  const found = { drawn: document.querySelectorAll(".plot .main-svg").length > 0, all: tally() };
  const gain = head("Gain");
  scores.querySelectorAll("th button")[gain].click();
  found.ascending = texts(gain);
  scores.querySelectorAll("th button")[gain].click();
  found.descending = texts(gain);
  const search = scores.querySelector("input");
  search.value = "facts lora gemma-1b";
  search.dispatchEvent(new Event("input"));
  found.searched = tally();
  let saved;
  URL.createObjectURL = (blob) => { saved = blob; return "blob:none"; };
  HTMLAnchorElement.prototype.click = () => {};
  [...scores.querySelectorAll("button")].find((button) => button.textContent === "Download as csv").click();
  found.csv = await saved.text();
  const panel = document.querySelector("#gains-map");
  const choice = panel.querySelector("select");
  choice.value = "3";
  choice.dispatchEvent(new Event("change"));
  const shown = panel.querySelectorAll("figure:not([hidden])");
  found.shown = [shown.length, shown[0].querySelectorAll(".main-svg").length > 0];
  const plots = [...document.querySelectorAll("figure:not([hidden]) .plot")];
  found.undrawn = plots.filter((plot) => !plot.querySelector(".main-svg")).length;
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    tables = synthetic_tables()
    page = render(synthetic_analysis(tables), tables, ReportContext("study", datetime(2025, 3, 1)))
    return probed(page, PROBE, tmp_path_factory.mktemp("browser"))


def test_browser_draws_every_visible_figure_without_an_error(found):
    assert found["drawn"]
    assert found["undrawn"] == 0
    assert found["errors"] == []


def test_selector_shows_one_figure_and_draws_it(found):
    assert found["shown"] == [1, True]


def test_table_sorts_numbers_both_ways_with_unknown_ones_last(found):
    assert found["all"] == "1\u201325 of 136 rows"
    rising, falling = (
        [float(text.replace("\u2212", "-")) for text in found[order] if text != "\u2013"]
        for order in ("ascending", "descending")
    )
    assert len(rising) == len(falling) == 25
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert falling[0] > 0.3 > rising[-1]


def test_table_finds_rows_that_hold_every_word(found):
    scores = synthetic_tables()["scores"].filter(base="gemma-1b", benchmark="facts", method="lora")
    assert found["searched"] == f"1\u2013{scores.height} of {scores.height} rows (136 without the filter)"


def test_csv_holds_the_filtered_rows_with_both_ends_of_intervals(found):
    head, *lines = found["csv"].strip().split("\r\n")
    assert "ci_low,ci_high" in head
    assert len(lines) == 8
    assert all("gemma-1b" in line for line in lines)
    assert any('"out of memory: 14.2 GB needed, 12 GB on the device"' in line for line in lines)

"""The page: whole, self-contained, honest about what is missing, and safe whatever the names and reasons say."""

import json
import re
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser

import polars as pl
import pytest

from sftlab.analyse.effects import Finding
from sftlab.report.context import ReportContext
from sftlab.report.page import render, write_report

from .synthetic import BASES, BENCHMARKS, DATASETS, METHODS, synthetic_tables
from .synthetic_analysis import empty_analysis, synthetic_analysis

CONTEXT = ReportContext(
    study="which-data-helps",
    created=datetime(2025, 3, 1, 12, 0),
    design="Which data helps?",
    machine="two cores",
    versions={"sftlab": "0.1.0"},
)
SCALES = {"arithmetic": 1.0, "facts": 100.0}
EVIL = "</script><script>alert(1)</script><img src=https://evil.example/x onerror='alert(2)'> & \"quoted\" \u2028 ünï"
VOID = {"meta", "br", "img", "input", "hr", "link"}


class Page(HTMLParser):
    """What a browser would see: elements, visible text, and the JSON inside script elements."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.figures, self.tables, self.words, self.open, self.payloads = [], [], [], [], [], {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        opened, _ = self.open.pop()
        assert opened == tag, f"<{opened}> closed by </{tag}>"

    def handle_data(self, data):
        tag, attributes = self.open[-1] if self.open else (None, {})
        if tag == "script" and attributes.get("type") == "application/json":
            self.take(attributes, json.loads(data))
        elif tag not in ("script", "style"):
            self.words.append(data)

    def take(self, attributes, value):
        if attributes["class"] == "figure":
            self.figures.append(value)
        elif attributes["class"] == "rows":
            self.tables.append(value | {"rows": rows_of(value)})
        else:
            self.payloads[attributes["id"].removeprefix("data-")] = value

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def rows_of(table):
    columns = [cells_of(column) for column in table["columns"]]
    return [list(row) for row in zip(*columns, strict=True)]


def cells_of(column):
    if column["kind"] == "text":
        return [None if code < 0 else column["levels"][code] for code in column["codes"]]
    if column["kind"] == "interval":
        return [list(pair) for pair in zip(column["low"], column["high"], strict=True)]
    return column["values"]


@pytest.fixture(scope="module")
def tables():
    return synthetic_tables()


@pytest.fixture(scope="module")
def analysis(tables):
    return synthetic_analysis(tables)


@pytest.fixture(scope="module")
def source(analysis, tables):
    return render(analysis, tables, CONTEXT)


@pytest.fixture(scope="module")
def page(source):
    return Page(source)


def columns_of(table):
    return [column["name"] for column in table["columns"]]


def test_page_is_well_formed_and_every_link_of_its_navigation_leads_somewhere(page):
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert {link[1:] for link in links} <= set(ids)
    assert len(links) >= 10


def test_page_loads_nothing_from_elsewhere(source, page):
    loads = {"src", "srcset", "href", "action", "data", "poster", "formaction"}
    targets = [value for _, attributes in page.elements for name, value in attributes.items() if name in loads]
    assert all(target.startswith("#") for target in targets)
    assert not any(tag in ("link", "iframe", "img", "object", "embed", "base") for tag, _ in page.elements)
    style = re.search(r"<style>(.*?)</style>", source, re.DOTALL).group(1)
    assert "@import" not in style
    assert "url(" not in style
    policy = next(attributes["content"] for _, attributes in page.elements if "http-equiv" in attributes)
    assert "default-src 'none'" in policy
    assert "connect-src 'none'" in policy
    assert "http" not in policy


def test_page_holds_plotly_once_and_offers_no_upload(source):
    assert source.count("* plotly.js v") == 1
    assert "showSendToCloud: false" in source


def test_answer_comes_first_and_every_sentence_of_the_analysis_is_on_the_page(page, analysis):
    text = page.text
    for sentence in analysis.sentences():
        assert sentence in text
    sections = [attributes["id"] for tag, attributes in page.elements if tag == "section"]
    assert sections[0] == "answer"
    headline = analysis.sentences("data")[0]
    assert text.index(headline) < text.index("How do base, data and benchmark interact?")


def test_every_figure_has_a_sentence_and_a_name(page):
    plots = [attributes for _, attributes in page.elements if attributes.get("class") == "plot"]
    assert len(plots) == len(page.figures) > 15
    assert all(attributes["aria-label"] for attributes in plots)
    tags = [tag for tag, _ in page.elements]
    followed = [tags[place + 1] for place, tag in enumerate(tags) if tag == "figcaption"]
    assert followed == ["p"] * len(plots)


def test_forest_figures_equal_the_ranking(page, analysis):
    forests = [figure for figure in page.figures if "mean gain (" in json.dumps(figure["layout"].get("annotations"))]
    assert len(forests) == len(BENCHMARKS)
    for figure, (benchmark, scale) in zip(forests, SCALES.items(), strict=True):
        ranked = analysis.ranking.filter(benchmark=benchmark).sort("gain", descending=True)
        assert [trace["name"] for trace in figure["data"]] == ranked["dataset"].to_list()
        assert [trace["x"][0] for trace in figure["data"]] == (ranked["gain"] * scale).to_list()
        unit = "points of accuracy" if benchmark == "facts" else "bits per byte"
        assert figure["layout"]["annotations"][0]["text"] == f"mean gain ({unit})"


def test_maps_equal_the_gains_and_hatch_the_holes(page, analysis):
    maps = [figure for figure in page.figures if any(trace["type"] == "heatmap" for trace in figure["data"])]
    assert len(maps) == len(BENCHMARKS) * 3
    cells = analysis.gains.filter(benchmark="arithmetic", method="all")
    shown = {}
    for trace in maps[0]["data"]:
        if trace["type"] == "heatmap":
            for base, row in zip(BASES, trace["z"], strict=True):
                shown |= {(base, name): gain for name, gain in zip(DATASETS, row, strict=True) if gain is not None}
    expected = cells.drop_nulls("gain").select("base", "dataset", "gain").iter_rows()
    assert shown == {(base, dataset): gain for base, dataset, gain in expected}
    hatched = next(trace for trace in maps[0]["data"] if trace["type"] == "bar")
    assert hatched["hovertext"] == [
        "gemma-1b trained on code<br>failed: out of memory: 14.2 GB needed, 12 GB on the device"
    ]


def test_score_table_holds_every_row_and_value(page, tables):
    table = next(table for table in page.tables if table["file"] == "scores.csv")
    names = columns_of(table)
    values = [row[names.index("value")] for row in table["rows"]]
    assert values == seven_digits(tables["scores"]["value"])
    ends = [row[names.index("ci")] for row in table["rows"]]
    assert [pair[0] for pair in ends] == seven_digits(tables["scores"]["ci_low"])


def seven_digits(column):
    return [None if value is None else float(f"{value:.7g}") for value in column]


def test_missing_cells_are_all_listed_failures_first(page, tables):
    table = next(table for table in page.tables if table["file"] == "missing.csv")
    absent = sum(tables[name].filter(pl.col("status") != "done").height for name in ("runs", "scores"))
    assert sum(row[-1] for row in table["rows"]) == absent
    waiting = [tuple(row[:-1]) for row in table["rows"] if row[1] == "pending"]
    assert len(set(waiting)) == len(waiting)
    assert all(row[2] == "not run yet" for row in waiting)
    assert table["rows"][0][1] == "failed"
    assert "out of memory: 14.2 GB needed" in page.text


def test_header_counts_cells_and_names_the_factors(page):
    text = page.text
    assert "58 done, 4 failed, 2 pending of 64." in text
    assert "olmo-1b, qwen-0.5b, llama-1b, gemma-1b" in text
    assert "precision float32" in text
    assert "sftlab 0.1.0" in text


def test_counts_of_the_context_take_precedence(analysis, tables):
    counted = replace(CONTEXT, counts={"pending": 3, "done": 5, "running": 1})
    assert "5 done, 1 running, 3 pending of 9." in Page(render(analysis, tables, counted)).text


@pytest.mark.parametrize("given", [{}, {name: frame.clear() for name, frame in synthetic_tables().items()}])
def test_empty_study_says_what_is_missing_in_every_section(given):
    page = Page(render(empty_analysis(), given, CONTEXT))
    assert page.figures == []
    for said in (
        "no tuned model has been scored",
        "No base x dataset cell has a gain yet",
        "No property of the data can be set against a gain yet",
        "No weight change has been measured yet",
        "No two training choices can be compared yet",
        "there is no map yet",
        "No run has recorded a training loss yet",
        "There are no scores yet",
    ):
        assert said in page.text


def test_study_with_nothing_run_yet_lists_all_as_pending(tables):
    runs = tables["runs"].with_columns(status=pl.lit("pending"), reason=pl.lit(None, pl.String), device=None)
    page = Page(render(empty_analysis(), {"runs": runs}, CONTEXT))
    assert "64 pending of 64." in page.text
    assert "64 runs without a result: 64 pending." in page.text


def test_half_done_study_draws_what_is_there(tables):
    half = {name: frame for name, frame in tables.items() if name in ("runs", "losses")}
    finding = Finding("data", "Nothing has been scored yet.")
    page = Page(render(empty_analysis(findings=(finding,)), half, CONTEXT))
    assert len(page.figures) == 1 + len(BASES) + len(DATASETS) + len(METHODS)
    assert "Nothing has been scored yet." in page.text


def poisoned(frame):
    return frame.with_columns(
        pl.when(pl.col(name).is_not_null()).then(pl.concat_str(pl.col(name), pl.lit(EVIL))).alias(name)
        for name in (
            "base",
            "dataset",
            "method",
            "reason",
            "benchmark",
            "property",
            "part",
            "run",
            "factor",
            "level",
            "unit",
        )
        if name in frame.columns and frame.schema[name] == pl.String
    )


def test_untrusted_names_reasons_and_sentences_stay_text(analysis, tables):
    frames = {name: getattr(analysis, name) for name in ("gains", "ranking", "property_points", "training_points")}
    evil = replace(
        analysis,
        study=EVIL,
        findings=tuple(replace(finding, text=finding.text + EVIL) for finding in analysis.findings),
        **{name: poisoned(frame) for name, frame in frames.items()},
    )
    context = replace(CONTEXT, study=EVIL, design=EVIL, machine=EVIL, versions={EVIL: EVIL})
    poisoned_tables = {name: poisoned(frame) for name, frame in tables.items()}
    page = Page(render(evil, poisoned_tables, context))
    clean = Page(render(analysis, tables, CONTEXT))
    assert page.open == []
    assert sum(tag == "script" and "type" not in attributes for tag, attributes in page.elements) == 2
    assert not any(tag == "img" or "onerror" in attributes for tag, attributes in page.elements)
    assert page.text.count("alert(1)") >= len(analysis.findings)
    assert len(page.tables) == len(clean.tables)
    for text in strings([labels(figure) for figure in page.figures]):
        assert not re.search(r"<(?!/?b>|br>|/?extra>)", text)
    scores = next(table for table in page.tables if table["file"] == "scores.csv")
    assert any(EVIL in str(row[0]) for row in scores["rows"])


def labels(figure):
    """A figure without the names that only the filters read."""
    traces = [{key: value for key, value in trace.items() if key != "meta"} for trace in figure["data"]]
    return [traces, {key: value for key, value in figure["layout"].items() if key != "meta"}]


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def test_page_of_many_scores_holds_them_and_says_where_the_rest_is(tables):
    many = pl.concat([tables["scores"]] * 160)
    page = Page(render(empty_analysis(), {"scores": many}, CONTEXT))
    table = next(table for table in page.tables if table["file"] == "scores.csv")
    assert len(table["rows"]) == 20_000
    assert f"the first 20,000 of {many.height:,} rows" in page.text


def test_report_is_written_whole_and_replaces_the_old_one(tmp_path, analysis, tables):
    out = tmp_path / "made" / "report.html"
    assert write_report(analysis, tables, CONTEXT, out) == out
    first = out.read_text(encoding="utf-8")
    write_report(analysis, tables, replace(CONTEXT, design="Another."), out)
    assert "Another." in out.read_text(encoding="utf-8")
    assert first.endswith("</html>")
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]


def test_same_study_gives_the_same_page(source, analysis, tables):
    assert render(analysis, tables, CONTEXT) == source


def test_study_with_choices_of_untold_sign_says_so_by_its_corrected_verdict(analysis, tables):
    untold = analysis.gains.with_columns(verdict=pl.lit("cannot tell"))
    page = Page(render(replace(analysis, gains=untold, findings=()), tables, CONTEXT))
    maps = [figure for figure in page.figures if any(trace["type"] == "heatmap" for trace in figure["data"])]
    axes = {trace["coloraxis"] for figure in maps for trace in figure["data"] if trace["type"] == "heatmap"}
    assert axes == {"coloraxis2"}
    assert "Of 15 cells with a gain, 0 surely gained and 0 surely lost" in page.text
    assert "1 cell without a gain." in page.text


def test_benchmark_on_which_nothing_was_scored_has_no_map(analysis, tables, recwarn):
    unscored = [pl.lit(None, analysis.gains.schema[name]).alias(name) for name in ("metric", "scorer", "main", "unit")]
    pending = analysis.gains.with_columns(*unscored, gain=None, status=pl.lit("pending"))
    schema = dict(analysis.gains.schema)
    bare = replace(empty_analysis(), gains=pending.cast(schema))
    assert "No base x dataset cell has a gain yet" in Page(render(bare, {"runs": tables["runs"]}, CONTEXT)).text
    assert not recwarn.list

"""Figures as files: every one of the page, with the numbers that are drawn."""

import csv
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from matplotlib.collections import PathCollection

from sftlab.errors import StoreError
from sftlab.report.blocks import Panel, Section, Variant
from sftlab.report.context import ReportContext
from sftlab.report.figures.data import data_rows
from sftlab.report.figures.files import MANY, named_figures, write_figure, write_figures
from sftlab.report.figures.matplotlib_drawing import drawn
from sftlab.report.figures.properties import property_scatter
from sftlab.report.palette import Palette, palette
from sftlab.report.sections import SECTIONS
from sftlab.report.sections.material import Material

from .synthetic import BASES, DATASETS, synthetic_tables
from .synthetic_analysis import synthetic_analysis

MAGIC = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}


@pytest.fixture(scope="module")
def analysis():
    return synthetic_analysis(synthetic_tables())


@pytest.fixture(scope="module")
def sections(analysis):
    tables = synthetic_tables()
    context = ReportContext("study", datetime(2025, 3, 1))
    return [section(Material(analysis, tables, context, palette(tables))) for section in SECTIONS]


def one_section(*variants):
    return [Section("gains", "Gains", "", (Panel("map", "Gain", "Benchmark", variants),))]


def test_ticks_of_a_logarithmic_axis_are_plain_numbers():
    points = pl.DataFrame(
        {"base": ["a", "a"], "dataset": ["d", "e"], "property_value": [0.004, 3.0], "gain": [0.1, 0.2]}
    )
    figure = property_scatter(points, "similarity", "accuracy", Palette(("a",), ("d", "e"), ()))
    picture = drawn(figure, "similarity")
    picture.canvas.draw()
    ticks = [label.get_text() for label in picture.axes[0].get_xticklabels()]
    assert {"0.01", "0.1", "1"} <= set(ticks)


@pytest.fixture(scope="module")
def first_of_each_panel(sections):
    return [
        Section(section.key, section.title, "", (Panel(block.key, block.title, block.selector, block.variants[:1]),))
        for section in sections
        for block in section.blocks
        if isinstance(block, Panel)
    ]


@pytest.fixture(scope="module")
def written(first_of_each_panel, tmp_path_factory):
    return write_figures(first_of_each_panel, tmp_path_factory.mktemp("figures") / "made")


def rows_of(path):
    with Path(path).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_panel_is_written_in_three_formats_beside_its_data(written, first_of_each_panel):
    assert len(written) == len(first_of_each_panel) > 8
    for path in written:
        assert len(rows_of(path)) > 0
        for ending, begin in MAGIC.items():
            assert path.with_suffix(f".{ending}").read_bytes().startswith(begin)


def test_every_figure_of_the_page_has_a_name_of_its_own(sections):
    names = [one.name for one in named_figures(sections)]
    panels = [block for section in sections for block in section.blocks if isinstance(block, Panel)]
    assert len(names) == sum(len(panel.variants) for panel in panels)
    assert len(set(names)) == len(names)


def test_data_of_a_forest_are_the_ranking_with_its_intervals(written, analysis):
    rows = rows_of(next(path for path in written if path.name.startswith("answer-ranking")))
    ranked = analysis.ranking.filter(benchmark="arithmetic").sort("gain", descending=True)
    assert [row["y"] for row in rows] == ranked["dataset"].to_list()
    for column, of_frame in (("x", "gain"), ("low", "ci_low"), ("high", "ci_high")):
        assert [float(row[column]) for row in rows] == pytest.approx(ranked[of_frame].to_list())


def test_data_of_a_map_are_its_cells_by_name_and_its_holes_with_reasons(written, analysis):
    rows = rows_of(next(path for path in written if path.name.startswith("gains-map")))
    cells = analysis.gains.filter(benchmark="arithmetic", method="all").drop_nulls("gain")
    expected = {(base, dataset): gain for base, dataset, gain in cells.select("base", "dataset", "gain").iter_rows()}
    shown = {(row["y"], row["x"]): float(row["value"]) for row in rows if row["series"] != "no result"}
    assert shown == pytest.approx(expected)
    (hole,) = (row for row in rows if row["series"] == "no result")
    assert (hole["y"], hole["x"]) == ("gemma-1b", "code")
    assert "out of memory" in hole["note"]


def test_drawing_has_the_axes_and_the_marks_of_the_figure(sections):
    figures = {one.name: one for one in named_figures(sections)}
    forest = next(one for name, one in figures.items() if name.startswith("answer-ranking-arithmetic"))
    axes = drawn(forest.figure, forest.title).axes[0]
    marks = [collection for collection in axes.collections if isinstance(collection, PathCollection)]
    drawn_at = [tuple(mark.get_offsets()[0]) for mark in marks]
    assert drawn_at == [(trace["x"][0], trace["y"][0]) for trace in forest.figure["data"]]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert axes.get_xlabel() == "mean gain (bits per byte)"
    heat = next(one for name, one in figures.items() if name.startswith("gains-map-arithmetic"))
    axes = drawn(heat.figure, heat.title).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(BASES)
    assert [label.get_text() for label in axes.get_xticklabels()] == list(DATASETS)
    numbers = [text.get_text() for text in axes.texts]
    assert len(numbers) == len(BASES) * len(DATASETS) - 1


def test_same_results_give_the_same_files_and_markup_in_names_is_plain_text(tmp_path):
    layout = {"height": 200, "xaxis": {"title": {"text": "a &lt; b"}}, "yaxis": {}}
    trace = {"type": "scatter", "mode": "markers", "name": "&lt;b&gt; $x$", "x": [1, 2], "y": [1, None]}
    trace["marker"] = {"color": "#0072B2", "symbol": "star-open", "size": 8}
    variant = Variant("one", {"data": [trace], "layout": layout | {"showlegend": True}}, ())
    for folder in ("first", "second"):
        write_figures(one_section(variant, variant), tmp_path / folder)
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == sorted(f"gains-map-one{twin}.{end}" for twin in ("", "-2") for end in ("csv", "pdf", "png", "svg"))
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    (row,) = data_rows(variant.figure)
    assert row.series == "<b> $x$"


def test_many_figures_are_drawn_by_several_processes_as_by_one_and_told(tmp_path):
    trace = {"type": "scatter", "mode": "markers", "name": "é", "x": [1, 2], "y": [1, 2]}
    trace["marker"] = {"color": "#0072B2", "symbol": "star-open", "size": 8}
    figure = {"data": [trace], "layout": {"height": 150, "xaxis": {}, "yaxis": {}, "showlegend": False}}
    sections = one_section(*(Variant(f"v{index}", figure, ()) for index in range(MANY)))
    told = []
    written = write_figures(sections, tmp_path, on_written=lambda done, every: told.append((done, every)))
    assert told == [(done, MANY) for done in range(1, MANY + 1)]
    named = list(named_figures(sections))
    assert [path.stem for path in written] == [one.name for one in named]
    (tmp_path / "one").mkdir()
    alone = write_figure(named[3], tmp_path / "one")
    for ending in ("csv", "svg", "pdf", "png"):
        assert alone.with_suffix(f".{ending}").read_bytes() == written[3].with_suffix(f".{ending}").read_bytes()


def test_folder_that_cannot_be_written_is_an_error_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file cannot be written"):
        write_figures([], tmp_path / "file")

"""`sftlab report --figures` on results made elsewhere."""

import json
from pathlib import Path

import polars as pl

from sftlab.cli.report import FigureFormat
from sftlab.report.figures.files import FORMATS
from sftlab.store.imported import ImportedStudy, write_imported_study
from tests.end_to_end.flow import sftlab


def imported(folder):
    row = {"benchmark": "facts", "scorer": "likelihood", "metric": "accuracy", "main": True, "status": "done"}
    runs = [(base, dataset) for base in ("one", "two") for dataset in ("a", "b")]
    scores = [row | {"checkpoint": base, "base": base, "family": base, "dataset": "none", "epoch": 0, "value": 0.4,
                     "identity": base} for base in ("one", "two")]  # fmt: skip
    scores += [
        row | {"checkpoint": f"{base}-{dataset}", "run": f"{base}-{dataset}", "base": base, "family": base,
               "dataset": dataset, "method": "full", "epoch": 1, "epochs": 1, "value": 0.5, "gain": 0.1,
               "identity": f"{base}-{dataset}"} for base, dataset in runs
    ]  # fmt: skip
    listed = [
        {"run": f"{base}-{dataset}", "base": base, "family": base, "dataset": dataset, "method": "full",
         "epochs": 1, "status": "done"} for base, dataset in runs
    ]  # fmt: skip
    tables = {"runs": pl.DataFrame(listed), "scores": pl.DataFrame(scores, infer_schema_length=None)}
    write_imported_study(ImportedStudy("tiny", tables), folder)


def test_report_writes_the_page_and_its_figures(tmp_path):
    imported(tmp_path / "tiny")
    done = sftlab("report", str(tmp_path / "tiny"), "--figures", str(tmp_path / "figures"), "--json")
    said = json.loads(done.stdout)
    assert Path(said["report"]).read_text(encoding="utf-8").endswith("</html>")
    assert len(said["figures"]) >= 2
    for figure in said["figures"]:
        for ending in ("svg", "pdf", "png", "csv"):
            assert Path(f"{figure}.{ending}").stat().st_size > 0
    assert any(Path(figure).name.startswith("gains-map-facts") for figure in said["figures"])


def test_figures_of_chosen_formats_are_written_alone_and_a_log_hears_how_far_it_is(tmp_path):
    imported(tmp_path / "tiny")
    words = ("--figures", str(tmp_path / "figures"), "--figure-format", "svg", "--figure-format", "png")
    done = sftlab("report", str(tmp_path / "tiny"), *words)
    assert "figures as svg and png, each with its data as csv" in done.stdout
    written = list((tmp_path / "figures").iterdir())
    assert {path.suffix for path in written} == {".svg", ".png", ".csv"}
    every = len(written) // 3
    told = [line for line in done.stderr.splitlines() if line.startswith("drawing the figures: ")]
    assert told[-1] == f"drawing the figures: {every} of {every}"
    assert len(told) == min(every, 10)


def test_command_line_has_every_format():
    assert tuple(FigureFormat) == FORMATS


def test_figure_format_without_a_folder_is_refused(tmp_path):
    imported(tmp_path / "tiny")
    refused = sftlab("report", str(tmp_path / "tiny"), "--figure-format", "svg", code=2)
    assert "name their folder with `--figures DIR`" in refused.stderr

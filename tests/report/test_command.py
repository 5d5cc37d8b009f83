"""`sftlab report --figures` on results made elsewhere."""

import json
from pathlib import Path

import polars as pl

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

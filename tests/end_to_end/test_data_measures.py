"""Measures of data in a whole study: every one a row, shared by bases where the base does not matter."""

import polars as pl

from sftlab.pocket.files import PocketDesign
from tests.end_to_end.flow import small_study
from tests.end_to_end.inline import opened, rows, run


def test_similarities_are_taken_once_for_all_bases_and_stand_beside_their_benchmarks(tmp_path):
    design = PocketDesign(bases=("llama-facts", "neox-facts"), datasets=("facts",), samples=16, items=4)
    study = small_study(tmp_path, design)
    head, _, _ = study.read_text().partition("evaluation:")
    evaluation = study.read_text()[len(head) :]
    lines = [line for line in (head + evaluation).splitlines() if not line.startswith("measures:")]
    study.write_text("\n".join([*lines, "measures: [perplexity, ifd, similarity]", ""]))
    store = tmp_path / "store"
    cells = opened(study, store).resolved.cells.measures
    beside = [cell for cell in cells if cell.benchmark is not None]
    assert len(beside) == 2 * len({cell.identity for cell in beside}) > 0
    outcome = run(study, store)
    assert outcome.failed == ()
    data = rows(study, "data", store)
    assert set(data["status"]) == {"done"}
    similar = data.filter(pl.col("property") == "similarity")
    assert set(similar["benchmark"]) == {cell.benchmark.name for cell in beside if cell.benchmark}
    assert similar.group_by("dataset", "benchmark").agg(pl.col("value").n_unique())["value"].to_list() == [1] * (
        similar["benchmark"].n_unique()
    )
    assert data.filter(pl.col("property") == "ifd")["benchmark"].null_count() == 2
    assert run(study, store).done == 0

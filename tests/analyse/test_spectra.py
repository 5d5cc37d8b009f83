"""Stable ranks by depth, of a table made by hand, and as the page shows them."""

import polars as pl
import pytest

from sftlab.analyse.schemas import RUNS, SPECTRA, conformed
from sftlab.analyse.spectra import stable_rank_by_depth
from sftlab.report.palette import Palette
from sftlab.report.sections.layers import layers
from sftlab.report.sections.material import Material
from tests.report.synthetic_analysis import empty_analysis

RANKS = {"a": (2.0, 4.0), "b": (4.0, 8.0)}


@pytest.fixture
def tables():
    runs = pl.DataFrame(
        [
            {
                "run": f"{base}-{data}",
                "base": base,
                "family": base,
                "dataset": data,
                "method": "full",
                "scored_epoch": 2,
            }
            for base in RANKS
            for data in ("d", "e")
        ]
    )
    rows = [
        {"run": run, "epoch": epoch, "tensor": f"{layer}{part}", "layer": layer, "depth": float(layer), "part": part}
        | {"stable_rank": epoch / 2 * RANKS[run[0]][layer] * (1 if part == "mlp" else 3), "status": "done"}
        for run in runs["run"]
        for epoch in (1, 2)
        for layer in (0, 1)
        for part in ("mlp", "attention")
    ]
    outside = {"run": "a-d", "epoch": 2, "tensor": "embedding", "part": "embedding", "stable_rank": 99.0}
    frame = pl.DataFrame([*rows, outside], infer_schema_length=None)
    return {"runs": conformed(runs, RUNS), "spectra": conformed(frame, SPECTRA)}


def test_stable_ranks_are_means_over_matrices_and_cells_at_the_scored_epoch(tables):
    found = stable_rank_by_depth(tables["spectra"], tables["runs"])
    means = {(row["part"], row["depth"]): row["stable_rank"] for row in found.iter_rows(named=True)}
    assert means[("mlp", 0.0)] == pytest.approx(3.0)
    assert means[("attention", 1.0)] == pytest.approx(18.0)
    assert means[("all", 1.0)] == pytest.approx(12.0)
    assert set(found["n"]) == {2}
    assert found["ci_low"].null_count() == 0


def test_page_has_a_curve_of_stable_ranks_only_where_they_were_measured(tables):
    palette = Palette(("a", "b"), ("d", "e"), ("full",))
    shown = {
        getattr(block, "key", ""): block for block in layers(Material(empty_analysis(), tables, None, palette)).blocks
    }
    figure = shown["spectrum"].variants[-1].figure
    assert figure["data"][0]["y"] == pytest.approx([6.0, 12.0])
    assert "highest at depth 1" in shown["spectrum"].variants[-1].found[0]
    without = layers(Material(empty_analysis(), {}, None, palette))
    assert "spectrum" not in {getattr(block, "key", "") for block in without.blocks}

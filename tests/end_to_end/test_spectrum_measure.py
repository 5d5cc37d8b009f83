"""Spectra of changes as a measure of a study: of every scored checkpoint, whatever texts there are."""

from pathlib import Path

import polars as pl

from tests.end_to_end.flow import small_study
from tests.end_to_end.inline import TINY, rows, run


def test_every_scored_checkpoint_has_the_spectrum_of_its_matrices(tmp_path: Path) -> None:
    study = small_study(tmp_path, TINY)
    kept = [line for line in study.read_text().splitlines() if not line.startswith("measures:")]
    study.write_text("\n".join([*kept, "measures: [weight_spectrum]", ""]))
    store = tmp_path / "store"
    assert set(rows(study, "spectra", store)["status"]) == {"pending"}
    assert run(study, store).failed == ()
    found = rows(study, "spectra", store)
    scored = rows(study, "scores", store).drop_nulls("run")
    assert set(found["status"]) == {"done"}
    assert set(found["checkpoint"]) == set(scored["checkpoint"])
    unchanged = found.filter(pl.col("stable_rank").is_null())
    assert (unchanged["change_norm"] == 0).all()
    assert unchanged["tensor"].to_list() == ["model.embed_tokens.weight"], "what the adapter leaves alone"
    assert found["stable_rank"].min() >= 1 - 1e-6
    assert {"attention", "mlp"} <= set(found["part"])
    norms = {(row["run"], row["epoch"], row["layer"]): 0.0 for row in found.iter_rows(named=True)}
    for row in found.iter_rows(named=True):
        norms[row["run"], row["epoch"], row["layer"]] += row["change_norm"] ** 2
    layers = rows(study, "layers", store).filter(part="all").drop_nulls("layer")
    for row in layers.iter_rows(named=True):
        key = (row["run"], row["epoch"], row["layer"])
        if key in norms:
            assert norms[key] ** 0.5 <= row["change_norm"] * (1 + 1e-5), "norms' weights are no matrices"
            assert norms[key] ** 0.5 >= row["change_norm"] * 0.9

"""How workers go about their work leaves its trace in provenance and nowhere else."""

import polars as pl
import pytest

from sftlab.pocket.files import PocketDesign
from sftlab.store import Store
from tests.end_to_end.flow import PROVENANCE, sftlab, small_study, table

ONE = PocketDesign(bases=("neox-skills",), datasets=("facts",), samples=16, epochs=1, items=4)


@pytest.mark.long
def test_deterministic_run_says_so_and_is_no_other_result(tmp_path):
    study = small_study(tmp_path, ONE)
    usual, strict = tmp_path / "usual", tmp_path / "strict"
    sftlab("run", study, "--store", usual)
    sftlab("run", study, "--store", strict, "--deterministic")
    for store, expected in ((usual, False), (strict, True)):
        assert {record.provenance["deterministic"] for record in Store(store).records("train")} == {expected}
    first, second = (
        table(study, "runs", store).select(pl.exclude(PROVENANCE)).sort("run") for store in (usual, strict)
    )
    assert first["identity"].equals(second["identity"])
    assert (first["loss_last"] - second["loss_last"]).abs().max() < 1e-5

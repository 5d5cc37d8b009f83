"""Where results are looked for."""

from pathlib import Path

from sftlab.plan.opening import store_folder


def test_store_is_the_one_around_the_study_file_or_beside_it(tmp_path: Path) -> None:
    beside = tmp_path / ".sftlab"
    assert store_folder(tmp_path / "study.yaml", None) == beside
    assert store_folder(beside / "quick" / "quick-a.yaml", None) == beside
    assert store_folder(beside / "quick" / "quick-a.yaml", tmp_path / "other") == tmp_path / "other"

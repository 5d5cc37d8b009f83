from pathlib import Path

import pytest

from sftlab.plan.resolve import resolve
from sftlab.store import Store
from sftlab.study.reading import load_study

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def test_real_data_example_resolves(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTLAB_SHARED", str(shared))
    cells = resolve(load_study(EXAMPLES / "real_data.yaml"), Store(tmp_path)).cells
    assert len(cells.runs) == 3 * 4 * 2 * 2
    assert len(cells.scores) == (48 + 3) * 5

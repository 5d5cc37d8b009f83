"""What `sftlab plan` says of a study before anything is trained."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from sftlab.cli.plan import plan
from sftlab.cli.printing import hours
from sftlab.pocket.files import PocketDesign, write_pocket_study

SMALL = PocketDesign(bases=("llama-facts",), datasets=("facts",), samples=16, items=4)


def study_with(folder: Path, **changes: object) -> Path:
    """A small pocket study with some fields of its file written otherwise; fields of a mapping are added to it."""
    study = write_pocket_study(folder, design=SMALL)
    fields = yaml.safe_load(study.read_text())
    for name, value in changes.items():
        fields[name] = {**fields.get(name, {}), **value} if isinstance(value, Mapping) else value
    study.write_text(yaml.safe_dump(fields))
    return study


def planned(study: Path, capsys: pytest.CaptureFixture[str]) -> str:
    plan(study, study.parent / "store")
    return capsys.readouterr().out


def test_runs_that_are_the_same_as_another_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = {"learning_rate": 1e-3, "batch_size": 8}
    twice = study_with(tmp_path, methods={"full": full, "offloaded": {**full, "offload": "optimizer"}})
    runs = [line for line in planned(twice, capsys).splitlines() if line.startswith("runs: ")]
    assert runs == ["runs: 2 (3 with the 1 that is the same as another), held: 0, to do: 2"]


@pytest.mark.parametrize(("count", "said"), [(17650555.93, "17,650,556"), (99.994, "99.99"), (0.5, "0.50")])
def test_hours_can_be_read(count: float, said: str) -> None:
    assert hours(count) == said

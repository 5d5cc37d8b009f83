"""What `sftlab plan` says of a study before anything is trained."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from sftlab.cli.plan import plan
from sftlab.cli.printing import hours
from sftlab.cli.run import run
from sftlab.errors import TrainingError
from sftlab.lm.base import load_tokenizer
from sftlab.lm.encoding import EncodingRecipe, encode_examples
from sftlab.plan.opening import open_study
from sftlab.plan.selection import select_examples
from sftlab.pocket.catalogue import pocket_base_folder
from sftlab.pocket.files import PocketDesign, write_pocket_study
from sftlab.store import Store
from sftlab.study.declaration import BaseRef

SMALL = PocketDesign(bases=("llama-facts",), datasets=("facts", "strings"), samples=16, items=4)


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
    assert runs == ["runs: 4 (6 with the 2 that are the same as another), held: 0, to do: 4"]


def test_base_that_states_no_positions_has_examples_that_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = shutil.copytree(pocket_base_folder("llama-facts"), tmp_path / "boundless")
    config = json.loads((base / "config.json").read_text())
    del config["max_position_embeddings"]
    (base / "config.json").write_text(json.dumps(config))
    said = planned(study_with(tmp_path / "study", bases=[str(base)]), capsys)
    assert "runs: 4, held: 0, to do: 4" in said
    assert "dropped: " not in said


@pytest.mark.parametrize(("count", "said"), [(17650555.93, "17,650,556"), (99.994, "99.99"), (0.5, "0.50")])
def test_hours_can_be_read(count: float, said: str) -> None:
    assert hours(count) == said


@pytest.mark.parametrize("overflow", ["drop", "truncate"])
def test_examples_that_are_all_too_long_are_refused_before_anything_is_trained(tmp_path: Path, overflow: str) -> None:
    method = {"learning_rate": 1e-3, "batch_size": 8}
    study = study_with(tmp_path, max_tokens=8, overflow=overflow, methods={"full": method, "lora": method})
    said = r"^dataset facts: .*none of the 16 examples .*; raise `max_tokens` \(and so of strings under llama-facts\)$"
    for _ in range(2):
        with pytest.raises(TrainingError, match=said):
            plan(study, tmp_path / "store")
    with pytest.raises(TrainingError, match=said):
        run(study, tmp_path / "store", on="inline")
    assert list(Store(tmp_path / "store").records("train")) == []


def test_most_examples_dropped_is_told_and_a_few_are_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = load_tokenizer(BaseRef(name="llama-facts", model=str(pocket_base_folder("llama-facts"))))
    opened = open_study(study_with(tmp_path), tmp_path / "store")
    (cell, *_) = opened.resolved.cells.runs
    examples = select_examples(
        cell.spec.parts, opened.study.datasets, opened.resolved.dataset_digests, samples=16, validation=0.1, seed=0
    ).train
    lengths = sorted(
        len(encode_examples([one], tokenizer, recipe=EncodingRecipe("question_answer"), folder=tmp_path / "t").ids)
        for one in examples
    )
    told = {}
    for limit in (lengths[4], lengths[12]):
        said = planned(study_with(tmp_path, max_tokens=limit, overflow="drop"), capsys).splitlines()
        dropped = sum(length > limit for length in lengths)
        told[dropped] = [
            line.split(" cannot")[0] for line in said if line.startswith("dropped: ") and "facts c" in line
        ]
    few, many = sorted(told)
    assert few <= 8 < many
    assert told == {few: [], many: [f"dropped: {many} of the first 16 examples of facts"]}

"""Hub datasets, here from a folder that is laid out like one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sftlab.data.reading import read_dataset
from sftlab.errors import DataError
from sftlab.study.declaration import DatasetRef

OFFLINE = """
from sftlab.data.reading import read_dataset
from sftlab.errors import DataError
from sftlab.study.declaration import DatasetRef
try:
    read_dataset(DatasetRef(hub="nobody/no-such-dataset"), name="far")
except DataError as error:
    print(error)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    held = tmp_path / "held"
    held.mkdir()
    for split, rows in (("train", 3), ("test", 2)):
        lines = [json.dumps({"instruction": f"{split} {place}", "response": "a"}) for place in range(rows)]
        (held / f"{split}.jsonl").write_text("\n".join(lines))
    return held


@pytest.mark.parametrize(("split", "count"), [("train", 3), ("test", 2), ("train[:1]", 1)])
def test_hub_split_is_read_and_recognised(folder: Path, split, count):
    dataset = read_dataset(DatasetRef(hub=str(folder), split=split), name="near")
    assert dataset.shape == "instruction"
    assert [example.turns[0].content for example in dataset.examples] == [
        f"{split[:5].strip('[')} {i}" for i in range(count)
    ]


def test_hub_files_are_read_by_pattern(folder: Path):
    ref = DatasetRef(hub=str(folder), files=("te*.jsonl",), split="train[:1]")
    assert [example.turns[0].content for example in read_dataset(ref, name="near").examples] == ["test 0"]


def test_hub_split_that_is_not_there_is_told(folder: Path):
    with pytest.raises(DataError, match=r"the dataset near \(.*\) could not be loaded: .*nowhere"):
        read_dataset(DatasetRef(hub=str(folder), split="nowhere"), name="near")


def test_hub_dataset_has_no_named_columns(folder: Path):
    with pytest.raises(DataError, match="`columns` is for csv and tsv files"):
        read_dataset(DatasetRef(hub=str(folder), columns=("a",)), name="near")


def test_hub_that_cannot_be_reached_is_told(tmp_path: Path):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    told = subprocess.run([sys.executable, "-c", OFFLINE], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.startswith(
        "the dataset far (nobody/no-such-dataset) could not be fetched, as the hub cannot be reached ("
    )
    assert told.stdout.rstrip().endswith("write `path` with a local file of it")


def test_reading_files_needs_neither_torch_nor_the_hub():
    program = (
        "import sys, sftlab.data.reading, sftlab.data.sampling, sftlab.data.summary\n"
        "print([name for name in ('torch', 'transformers', 'datasets', 'pyarrow', 'polars') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"

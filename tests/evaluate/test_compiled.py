"""Benchmarks kept as token arrays are the benchmarks that were encoded."""

import numpy as np
import pytest

from sftlab.benchmarks.item import Benchmark
from sftlab.evaluate import questions as subject
from sftlab.evaluate.compiled import Encoded, read_compiled, write_compiled
from sftlab.lm.request_tree import Request
from tests.evaluate.conftest import choice_items


def ids(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int32)


ITEMS = [
    Encoded((Request(ids(1, 2), ids(3)), Request(ids(1, 2), ids(4, 5))), ids(1, 2)),
    Encoded((), ids()),
    Encoded((Request(ids(9), ids(3)),), ids()),
]


def as_lists(items) -> list:
    return [
        [ids.tolist() for one in item.continuations for ids in (one.context_ids, one.continuation_ids)]
        + [item.prompt_ids.tolist()]
        for item in items
    ]


def test_kept_items_are_those_that_were_written(tmp_path):
    write_compiled(tmp_path / "kept", ITEMS)
    assert as_lists(read_compiled(tmp_path / "kept")) == as_lists(ITEMS)


def test_every_sequence_is_kept_once(tmp_path):
    write_compiled(tmp_path / "kept", ITEMS)
    assert len(np.load(tmp_path / "kept" / "ids.npy")) == 2 + 1 + 2 + 1


def test_writing_twice_changes_nothing(tmp_path):
    write_compiled(tmp_path / "kept", ITEMS)
    write_compiled(tmp_path / "kept", ITEMS)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("missing", ["ids", "ends", "pairs", "items"])
def test_a_folder_that_is_not_whole_is_made_anew(missing, tmp_path):
    write_compiled(tmp_path / "kept", ITEMS)
    (tmp_path / "kept" / f"{missing}.npy").unlink()
    assert read_compiled(tmp_path / "kept") is None
    write_compiled(tmp_path / "kept", ITEMS)
    assert as_lists(read_compiled(tmp_path / "kept")) == as_lists(ITEMS)


def test_siblings_and_other_workers_do_not_encode_again(base, tmp_path, monkeypatch):
    asked = Benchmark("x", "x", choice_items(8), ("likelihood", "generative"))
    first, _ = subject.questions(base, asked, "plain", folder=tmp_path)
    subject._OF_BASE.clear()
    monkeypatch.setattr(subject, "_encoded", None)
    again, _ = subject.questions(base, asked, "plain", folder=tmp_path)
    assert [one.item for one in again] == [one.item for one in first]
    for one, other in zip(first, again, strict=True):
        assert as_lists([one]) == as_lists([other])

import errno
import os
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftlab.errors import StoreError
from sftlab.store import Failure, Record, Store


def record(identity: str = "a" * 64, value: int = 1) -> Record:
    rows = {"items": pl.DataFrame({"item": ["ü", "b"], "score": [0.5, None]})}
    return Record(identity, "score", {"of": "x"}, {"value": value}, rows, {"device": "cpu"})


def segment(store: Store) -> Path:
    (path,) = (store.root / "segments").glob("*.seg")
    return path


def test_record_comes_back_in_another_store_object(tmp_path: Path) -> None:
    Store(tmp_path).commit(record())
    again = Store(tmp_path)
    held = again.record("a" * 64)
    assert held is not None
    assert (held.result, held.spec, held.provenance["device"]) == ({"value": 1}, {"of": "x"}, "cpu")
    rows = again.rows("a" * 64, "items")
    assert rows is not None
    assert rows.equals(record().rows["items"])
    assert again.rows("a" * 64, "no such table") is None


def test_opening_a_store_writes_nothing(tmp_path: Path) -> None:
    Store(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_committing_twice_keeps_the_first(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.commit(record(value=1))
    store.commit(record(value=2))
    held = Store(tmp_path).record("a" * 64)
    assert held is not None
    assert held.result == {"value": 1}


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 1))
def test_a_segment_cut_anywhere_holds_the_frames_before_the_cut(
    tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    store = Store(folder)
    ends = [0]
    for number in range(3):
        store.commit(record(f"{number:064d}"))
        ends.append(segment(store).stat().st_size)
    cut = round(share * ends[-1])
    os.truncate(segment(store), cut)
    again = Store(folder)
    whole = sum(end <= cut for end in ends[1:])
    assert [again.has(f"{number:064d}") for number in range(3)] == [number < whole for number in range(3)]


def test_a_damaged_frame_is_not_believed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.commit(record())
    content = bytearray(segment(store).read_bytes())
    content[-3] ^= 0xFF
    segment(store).write_bytes(bytes(content))
    assert not Store(tmp_path).has("a" * 64)


def test_a_full_disk_costs_only_the_record_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.commit(record("1" * 64))
    real = os.write

    def full(descriptor: int, content: bytes) -> int:
        real(descriptor, bytes(content)[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError, match="No space left on device"):
        store.commit(record("2" * 64))
    monkeypatch.setattr(os, "write", real)
    store.commit(record("3" * 64))
    again = Store(tmp_path)
    assert [again.has(number * 64) for number in "123"] == [True, False, True]


def test_a_failure_is_kept_until_there_is_a_result(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.commit_failure(Failure("a" * 64, "score", "first", "log"))
    store.commit_failure(Failure("a" * 64, "score", "second", "log"))
    failure = Store(tmp_path).failure("a" * 64)
    assert failure is not None
    assert failure.reason == "second"
    store.commit(record())
    assert Store(tmp_path).failure("a" * 64) is None


def test_refresh_reads_what_another_process_committed(tmp_path: Path) -> None:
    reader, writer = Store(tmp_path), Store(tmp_path)
    writer.commit(record())
    assert not reader.has("a" * 64)
    reader.refresh()
    assert reader.has("a" * 64)


def test_a_file_in_place_of_the_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="the store is a folder, got a file"):
        Store(tmp_path / "file")


def test_notes_are_replaced_and_damage_is_ignored(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_note("digests", {"a": 1})
    store.write_note("digests", {"a": 2})
    assert store.read_note("digests") == {"a": 2}
    (tmp_path / "notes" / "digests.json").write_text("{broken")
    assert store.read_note("digests") is None
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["digests.json"]

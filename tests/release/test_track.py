"""Trackers get every number of the tables, by step."""

import json
import struct
import sys

import polars as pl
import pytest

from sftlab.analyse.tables import table
from sftlab.errors import StoreError, StudyError
from sftlab.release.curves import study_curves
from sftlab.release.trackers import PACKAGES, write_curves
from tests.end_to_end.flow import sftlab


def curves(trained):
    return list(study_curves(trained.resolved.cells, trained.store))


def rows(trained, name, run):
    return table(name, trained.resolved.cells, trained.store).filter(pl.col("run") == run)


def expected(trained, run):
    """(name, step, value) of one run, out of the tables."""
    losses, validation = rows(trained, "losses", run), rows(trained, "validation", run)
    found = {
        (f"train/{name}", row["step"], row[name])
        for row in losses.iter_rows(named=True)
        for name in ("loss", "learning_rate", "grad_norm")
    }
    last = {0: 0} | {epoch: losses.filter(pl.col("epoch") == epoch)["step"].max() for epoch in (1, 2, 3)}
    return found | {
        (f"validation/{name}", last[row["epoch"]], row[name])
        for row in validation.iter_rows(named=True)
        for name in ("loss", "bits_per_byte")
    }


def test_curves_hold_every_number_of_the_tables_once(trained):
    found = curves(trained)
    assert [one.run for one in found] == [cell.spec.run for cell in trained.resolved.cells.runs]
    for one in found:
        points = [(name, point.step, value) for point in one.points for name, value in point.values.items()]
        assert len(points) == 16 * 3 * 3 + 4 * 2
        assert set(points) == expected(trained, one.run)
        assert [point.step for point in one.points] == list(range(16 * 3 + 1))
    assert found[0].recipe["dataset"] == "cats"


@pytest.mark.parametrize("tracker", PACKAGES)
def test_absent_package_is_one_sentence(tracker, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGES[tracker], None)
    with pytest.raises(StudyError, match=f"need the package {PACKAGES[tracker]}, which is not installed"):
        write_curves(tracker, "tiny", [], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("tracker", PACKAGES)
def test_folder_that_a_tracker_left_behind_is_no_package(tracker, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGES[tracker]]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / PACKAGES[tracker]).mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(StudyError, match="not installed"):
        write_curves(tracker, "tiny", [], tmp_path / "out")


def test_unknown_tracker_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(StudyError, match="did you mean 'tensorboard'"):
        write_curves("tensorbord", "tiny", [], tmp_path)


def test_command_says_in_one_sentence_what_is_wrong(trained):
    said = sftlab("track", trained.path, "--to", "aim", "--store", trained.store.root, code=2).stderr
    assert "there is no tracker 'aim'; legal: tensorboard, wandb, mlflow" in said
    assert len(said.strip().splitlines()) == 1


def test_tensorboard_shows_every_number_and_a_second_call_replaces_the_first(trained, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):
        assert write_curves("tensorboard", "tiny", curves(trained), tmp_path) == 4
    run = curves(trained)[0].run
    read = EventAccumulator(str(tmp_path / "tiny" / run), size_guidance={"scalars": 0})
    read.Reload()
    got = {(name, e.step, e.value) for name in read.Tags()["scalars"] for e in read.Scalars(name)}
    wanted = expected(trained, run)
    assert {(name, step) for name, step, _ in got} == {(name, step) for name, step, _ in wanted}
    assert sorted(value for *_, value in got) == pytest.approx(sorted(value for *_, value in wanted), rel=1e-6)


def wandb_records(path):
    """What an offline run's file holds: records in blocks of 32 KiB, each part with its checksum, length and kind."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, whole = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if (rest := 32768 - place % 32768) < 7:
            place += rest
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in {1, 4}:
            yield Record.FromString(whole)
            whole = b""


def test_wandb_holds_every_number_of_offline_runs(trained, tmp_path, capfd):
    pytest.importorskip("wandb")
    assert write_curves("wandb", "tiny", curves(trained), tmp_path) == 4
    assert "wandb" not in "".join(capfd.readouterr())
    files = list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert len(files) == 4
    found = {}
    for file in files:
        records = list(wandb_records(file))
        (run,) = {
            (record.run.run_id, record.run.display_name, record.run.project)
            for record in records
            if record.HasField("run")
        }
        found[run] = {
            ("/".join(item.nested_key), record.history.step.num, json.loads(item.value_json))
            for record in records
            if record.HasField("history")
            for item in record.history.item
            if not item.nested_key[0].startswith("_")
        }
    assert found == {(one.identity[:16], one.run, "tiny"): expected(trained, one.run) for one in curves(trained)}


def test_mlflow_shows_every_number_and_a_second_call_replaces_the_first(trained, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    for _ in range(2):
        assert write_curves("mlflow", "tiny", curves(trained), tmp_path) == 4
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    found = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert len(found) == 4
    name = found[0].info.run_name
    for metric in found[0].data.metrics:
        got = {(metric, point.step, point.value) for point in client.get_metric_history(found[0].info.run_id, metric)}
        assert got == {wanted for wanted in expected(trained, name) if wanted[0] == metric}


def test_folder_that_cannot_be_written_is_one_sentence(trained, tmp_path):
    pytest.importorskip("tensorboard")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be written"):
        write_curves("tensorboard", "tiny", curves(trained), tmp_path / "file" / "out")

"""A disk that is full, on a real one: a small file system in a mount namespace of its own."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sftlab.errors import JudgeError
from sftlab.store.disk import full_place, is_of_a_full_disk, is_on_disk_of

FILLED = """
import json, sys
from pathlib import Path

from sftlab.cli.working import do_missing
from sftlab.errors import StoreError
from sftlab.execute import session
from sftlab.execute.event import Started
from sftlab.plan.opening import open_study
from sftlab.pocket.files import PocketDesign, write_pocket_study
from sftlab.store import Store

disk, elsewhere = Path(sys.argv[1]), Path(sys.argv[2])
design = PocketDesign(bases=("llama-facts",), datasets=("facts",), samples=16, items=4)
study = write_pocket_study(elsewhere, design=design)
filler = disk / "filler"
listen, commit = session._Sitting._listen, Store.commit


def fill(room):
    with filler.open("wb", buffering=0) as file:
        for size in (2**16, 2**12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
        file.truncate(max(0, filler.stat().st_size - room))


def at_work(full_at, room):
    def listening(self, event):
        if isinstance(event, Started) and event.kind == full_at and not filler.exists():
            fill(room)
        listen(self, event)

    def committing(self, record):
        if full_at == "commit" and not filler.exists():
            fill(room)
        commit(self, record)

    session._Sitting._listen, Store.commit = listening, committing
    try:
        outcome = do_missing(open_study(study, disk / "store"), on="inline", workers=1)
        return [outcome.done, len(outcome.failed)]
    except StoreError as error:
        return str(error)
    finally:
        filler.unlink(missing_ok=True)


said = {kind: at_work(kind, room) for kind, room in (("commit", 0), ("measure", 0), ("train", 2**18), ("score", 0))}
said["rest"] = at_work(None, 0)
said["again"] = at_work(None, 0)
said["left"] = [path.name for path in (disk / "store").rglob("*") if path.name.startswith(".")]
print(json.dumps(said))
"""
PLACE = r"the file system at {0} has \d\.\d MB left: what is finished is kept, so make room there, or move "


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A folder to mount a small file system on, where this machine lets its users."""
    mount = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine has no mounts of one's own (unshare -rm)")
    return tmp_path


@pytest.mark.long
def test_a_full_disk_ends_the_study_in_a_sentence_and_costs_nothing_that_is_finished(small_disk: Path) -> None:
    elsewhere = small_disk.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "filled.py").write_text(FILLED)
    mounted = 'mount -t tmpfs -o size=48m none "$1" && shift && exec "$@"'
    run = [sys.executable, elsewhere / "filled.py", small_disk, elsewhere]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mounted, "sh", small_disk, *run], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    rest, again, left = said.pop("rest"), said.pop("again"), said.pop("left")
    store = re.escape(str(small_disk / "store"))
    for stage, sentence in said.items():
        assert re.search(PLACE.format(re.escape(str(small_disk))), sentence), (stage, sentence)
        assert re.match(rf"(the store cannot be written: .* at|no space is left in) {store}", sentence), (
            stage,
            sentence,
        )
    assert "no space is left in" in said["train"]
    assert rest[0] > 0
    assert rest[1] == 0
    assert again == [0, 0]
    assert left == []


def test_a_full_disk_is_known_through_the_words_of_libraries() -> None:
    within = RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    named = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/elsewhere/a")
    judge = JudgeError("the judge says: No space left on device")
    wrapped = ValueError("it failed")
    wrapped.__cause__ = named
    assert [is_of_a_full_disk(error) for error in (within, named, wrapped, judge, OSError(errno.EACCES, "no"))] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert full_place(wrapped, (Path("/"),)) == Path("/elsewhere/a")
    assert full_place(within, (Path("/"),)) == Path("/")


def test_a_full_disk_beside_the_store_costs_one_cell() -> None:
    quota = OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "/proc/self/a")
    assert not is_on_disk_of(full_place(quota, (Path("/"),)), Path("/"))

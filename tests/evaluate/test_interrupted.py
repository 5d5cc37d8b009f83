"""A score that is killed goes on where it was, and ends with the bits of an undisturbed one."""

import multiprocessing
import os
import signal
from pathlib import Path

import polars as pl
import pytest
import torch

from sftlab.benchmarks.item import Benchmark
from sftlab.evaluate.engines.built_in import BuiltInEngine
from sftlab.evaluate.scoring import score_with
from sftlab.lm import generation, kept_answers
from sftlab.lm.kept_answers import KeptAnswers
from sftlab.lm.row_layout import row_layout
from tests.evaluate.conftest import choice_items, first_letter, with_varied_output
from tests.lm.models import load

ROOM = 200


def scored(base, folder: Path | None) -> pl.DataFrame:
    asked = Benchmark("x", "x", choice_items(24), ("likelihood", "generative"), max_new_tokens=6, read=first_letter)
    engine = BuiltInEngine(base, ROOM, None if folder is None else KeptAnswers(folder))
    return score_with(engine, asked, template="plain").rows["items"]


def set_up(folder: Path):
    torch.set_num_threads(1)
    kept_answers.KEEP_SECONDS = 0.0
    generation.SEGMENT_ROOMS = 1
    return with_varied_output(load(folder, "llama"))


def killed_after(passes: int, models: Path, folder: Path) -> None:
    """Body of a process that ends itself, as by `kill -9`, in the midst of a forward pass."""
    base = set_up(models)
    row_layout(base)
    left = [passes]

    def count(*_):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    base.model.base_model.register_forward_pre_hook(count)
    scored(base, folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def base(models):
    before = kept_answers.KEEP_SECONDS, generation.SEGMENT_ROOMS
    yield set_up(models)
    kept_answers.KEEP_SECONDS, generation.SEGMENT_ROOMS = before


def passes_of(base, work) -> int:
    count = []
    handle = base.model.base_model.register_forward_pre_hook(lambda *_: count.append(1))
    work()
    handle.remove()
    return len(count)


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_killed_score_goes_on_and_ends_bitwise_the_same(share, base, models, tmp_path):
    undisturbed = scored(base, None)
    whole = passes_of(base, lambda: scored(base, None))
    kept = tmp_path / "kept"
    process = multiprocessing.get_context("spawn").Process(target=killed_after, args=(int(share * whole), models, kept))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    found = []
    passes = passes_of(base, lambda: found.append(scored(base, kept)))
    assert passes <= whole - (2 if share < 0.5 else 10)
    assert found[0].equals(undisturbed)
    assert found[0]["score"].is_not_null().all()


def test_a_finished_score_asks_nothing_again(base, tmp_path):
    first = scored(base, tmp_path)
    found = []
    assert passes_of(base, lambda: found.append(scored(base, tmp_path))) == 0
    assert found[0].equals(first)


def test_what_cannot_be_read_is_asked_again(base, tmp_path):
    first = scored(base, tmp_path)
    for path in tmp_path.iterdir():
        path.write_text(path.read_text()[:-3])
    assert scored(base, tmp_path).equals(first)


def test_other_work_takes_nothing_from_it(base, tmp_path):
    scored(base, tmp_path)
    engine = BuiltInEngine(base, 2 * ROOM, KeptAnswers(tmp_path))
    asked = Benchmark("x", "x", choice_items(24)[:20], ("likelihood",))
    assert passes_of(base, lambda: score_with(engine, asked, template="plain")) > 0

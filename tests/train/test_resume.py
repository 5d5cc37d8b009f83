"""A run that is killed and called again ends as if nothing had happened, to the last bit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sftlab.errors import TrainingError
from sftlab.lm.kernel import Kernel
from sftlab.lm.packed_attention import PACKED
from sftlab.lm.product_attention import PRODUCTS
from sftlab.study.methods import Lora
from sftlab.train import session
from tests.lm.models import load
from tests.train.runs import FULL, LORA, data, spec, train

DROPOUT = Lora(adapter="lora", rank=4, learning_rate=1e-2, batch_size=8, dropout=0.3)
EIGHT_BIT = FULL.model_copy(update={"optimizer": "adamw_8bit"})
OFFLOADED = FULL.model_copy(update={"offload": "optimizer"})
REPOSITORY = Path(__file__).resolve().parents[2]


class InterruptedRunError(Exception):
    pass


def _interrupt_at(step: int):
    def on_progress(progress) -> None:
        if progress.step == step:
            raise InterruptedRunError

    return on_progress


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    found = {}
    for path in sorted((folder / "checkpoints").glob("*/*.safetensors")):
        found.update({f"{path.parent.name}/{name}": tensor for name, tensor in load_file(path).items()})
    return found


def _assert_same(one, other, one_folder: Path, other_folder: Path) -> None:
    for table, rows in one.rows.items():
        assert rows.equals(other.rows[table]), table
    first, second = _weights(one_folder), _weights(other_folder)
    assert first.keys() == second.keys()
    assert len(first) > 0
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    provenance = {"wall_seconds", "seconds_by_epoch", "peak_memory_bytes"}
    assert {k: v for k, v in one.result.items() if k not in provenance} == {
        k: v for k, v in other.result.items() if k not in provenance
    }


@pytest.mark.parametrize("method", [FULL, LORA, DROPOUT], ids=["full", "lora", "dropout"])
@pytest.mark.parametrize("step", [3, 8, 18])
def test_interrupted_run_ends_bitwise_equal(method, step, bases, tmp_path):
    base = load(bases, "llama")
    given = data(base, tmp_path)
    run = spec(method=method, epochs=3)
    whole = train(base, run, given, tmp_path / "whole")
    final = {name: weight.clone() for name, weight in base.weights().items()}
    with pytest.raises(InterruptedRunError):
        train(base, run, given, tmp_path / "cut", on_progress=_interrupt_at(step))
    seen = []
    resumed = train(
        load(bases, "llama"), run, given, tmp_path / "cut", on_progress=lambda progress: seen.append(progress.step)
    )
    assert seen[0] == 6 * ((step - 1) // 6) + 1
    _assert_same(whole, resumed, tmp_path / "whole", tmp_path / "cut")
    again = load(bases, "llama")
    repeated = train(again, run, given, tmp_path / "cut", on_progress=_interrupt_at(1))
    _assert_same(whole, repeated, tmp_path / "whole", tmp_path / "cut")
    for name, weight in again.weights().items():
        assert torch.equal(weight, final[name]), name


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.lm.models import load
from tests.train.runs import data, spec, train
bases, folder, step = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
base = load(bases, "gpt2")
def on_progress(progress):
    if progress.step == step:
        os.kill(os.getpid(), signal.SIGKILL)
train(base, spec(epochs=3), data(base, folder), folder, on_progress=on_progress)
"""


def test_killed_process_ends_bitwise_equal(bases, tmp_path):
    base = load(bases, "gpt2")
    given = data(base, tmp_path)
    whole = train(base, spec(epochs=3), given, tmp_path / "whole")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", KILLED, str(bases), str(tmp_path / "cut"), "15"]
    killed = subprocess.run(arguments, env=environment, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert [path.name for path in (tmp_path / "cut" / "working").iterdir()] == ["step-12"]
    resumed = train(base, spec(epochs=3), given, tmp_path / "cut")
    _assert_same(whole, resumed, tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize(
    "method",
    [FULL, LORA, DROPOUT, EIGHT_BIT, OFFLOADED],
    ids=["full", "lora", "dropout", "eight_bit", "offloaded"],
)
@pytest.mark.parametrize("step", [3, 8])
def test_run_interrupted_inside_an_epoch_goes_on_from_its_last_step(method, step, bases, tmp_path, monkeypatch):
    monkeypatch.setattr(session, "KEEP_SHARE", 1e9)
    base = load(bases, "llama")
    given = data(base, tmp_path)
    run = spec(method=method, epochs=2)
    whole = train(base, run, given, tmp_path / "whole", keep_seconds=1e9)
    with pytest.raises(InterruptedRunError):
        train(base, run, given, tmp_path / "cut", on_progress=_interrupt_at(step), keep_seconds=0)
    seen = []
    resumed = train(
        load(bases, "llama"), run, given, tmp_path / "cut", on_progress=lambda progress: seen.append(progress.step)
    )
    assert seen == list(range(step, 13))
    _assert_same(whole, resumed, tmp_path / "whole", tmp_path / "cut")


def test_keeping_the_state_takes_a_small_share_of_the_time(bases, tmp_path, monkeypatch):
    kept = []
    keep = session.write_state
    monkeypatch.setattr(session, "write_state", lambda *given: (kept.append(1), time.sleep(0.2), keep(*given)))
    base = load(bases, "llama")
    train(base, spec(epochs=2), data(base, tmp_path), tmp_path, keep_seconds=0)
    assert len(kept) <= 4


def test_what_dropout_draws_does_not_depend_on_the_measured_kernel(bases, tmp_path):
    losses = []
    for kernel in (Kernel(), Kernel(PRODUCTS, 0), Kernel(PACKED)):
        base = load(bases, "llama")
        base.kernel = kernel
        trained = train(base, spec(method=DROPOUT), data(base, tmp_path), tmp_path / str(kernel.attention))
        losses.append(trained.rows["losses"]["loss"].to_list())
    assert losses[0] == losses[1] == losses[2]


def test_state_of_another_run_is_not_taken_up(bases, tmp_path):
    base = load(bases, "llama")
    given = data(base, tmp_path)
    with pytest.raises(InterruptedRunError):
        train(base, spec(), given, tmp_path, on_progress=_interrupt_at(8))
    other = spec(warmup_steps=3)
    resumed = train(base, other, given, tmp_path)
    _assert_same(train(base, other, given, tmp_path / "fresh"), resumed, tmp_path / "fresh", tmp_path)


def test_failed_run_leaves_the_base_untouched(bases, tmp_path):
    base = load(bases, "llama")
    given = data(base, tmp_path)
    for method in (FULL, LORA):
        with pytest.raises(InterruptedRunError):
            train(base, spec(method=method), given, tmp_path / method.adapter, on_progress=_interrupt_at(4))
        assert base.adapter is None
        for name, weight in base.weights().items():
            assert torch.equal(weight, base.pristine[name])
            assert not weight.requires_grad


def test_loss_that_is_not_finite_names_its_step(bases, tmp_path):
    base = load(bases, "llama")
    given = data(base, tmp_path)
    with torch.no_grad():
        base.pristine["lm_head.weight"][5] = float("inf")
    with pytest.raises(TrainingError, match="not finite at step 1"):
        train(base, spec(), given, tmp_path)

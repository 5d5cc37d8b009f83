"""The kernel that is taken on this machine: measured once, kept, and never one that gives other losses."""

import json
import multiprocessing

import numpy as np
import pytest
import torch

from sftlab.lm import measured_kernel
from sftlab.lm.kernel import Kernel
from sftlab.lm.measured_kernel import fastest_kernel, measured_kernels, model_name
from sftlab.lm.packed_attention import PACKED
from sftlab.lm.product_attention import PRODUCTS
from sftlab.lm.token_loss import synthetic_batch, token_losses
from tests.lm.models import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kernels")


def test_kernel_is_measured_once_and_then_read(folder, tmp_path, monkeypatch):
    base = load(folder, "llama")
    first = fastest_kernel(base, machine="here", cache=tmp_path)
    (known,) = measured_kernels(tmp_path)
    assert known.kernel == first
    assert set(known.seconds) == {"sdpa", PRODUCTS}
    assert all(seconds > 0 for seconds in known.seconds.values())

    def never(_):
        raise AssertionError("measured again")

    monkeypatch.setattr(measured_kernel, "_measure", never)
    assert fastest_kernel(base, machine="here", cache=tmp_path) == first
    with pytest.raises(AssertionError, match="measured again"):
        fastest_kernel(base, machine="elsewhere", cache=tmp_path)
    with pytest.raises(AssertionError, match="measured again"):
        fastest_kernel(load(folder, "gpt2"), machine="here", cache=tmp_path)


def test_models_of_one_kind_are_told_apart_by_their_shape(folder):
    for name in ("llama", "gpt2"):
        base = load(folder, name)
        embedded = base.model.get_input_embeddings().weight
        shape = f"{base.model.config.num_hidden_layers} layers, {embedded.shape[1]} wide, {embedded.shape[0]} tokens"
        assert model_name(base) == f"{name} ({shape})"


def test_measuring_leaves_the_base_as_it_was(folder, tmp_path):
    base = load(folder, "llama")
    before = {name: weight.clone() for name, weight in base.weights().items()}
    fastest_kernel(base, machine="here", cache=tmp_path)
    assert not base.model.training
    assert base.model.config._attn_implementation == "sdpa"
    for name, weight in base.weights().items():
        assert torch.equal(weight, before[name])
        assert weight.grad is None
        assert not weight.requires_grad


def test_torn_file_is_measured_again(folder, tmp_path):
    base = load(folder, "llama")
    fastest_kernel(base, machine="here", cache=tmp_path)
    (file,) = (tmp_path / "kernels").glob("*.json")
    whole = json.loads(file.read_text())
    file.write_text(file.read_text()[:20])
    assert isinstance(fastest_kernel(base, machine="here", cache=tmp_path), Kernel)
    assert json.loads(file.read_text()).keys() == whole.keys()


def test_cache_that_cannot_be_written_is_done_without(folder, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert isinstance(fastest_kernel(load(folder, "llama"), machine="here", cache=blocked), Kernel)
    assert measured_kernels(blocked) == []


def test_model_that_drops_attention_keeps_its_own(folder, tmp_path):
    base = load(folder, "llama")
    base.model.config.attention_dropout = 0.1
    assert fastest_kernel(base, machine="here", cache=tmp_path).attention is None
    (known,) = measured_kernels(tmp_path)
    assert set(known.seconds) == {"sdpa"}


def _choose(folder, cache, answers):
    answers.put(fastest_kernel(load(folder, "llama"), machine="here", cache=cache))


def test_processes_that_start_together_take_the_same_kernel(folder, tmp_path):
    load(folder, "llama")
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    workers = [context.Process(target=_choose, args=(folder, tmp_path, answers)) for _ in range(2)]
    for worker in workers:
        worker.start()
    chosen = [answers.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join()
    assert chosen[0] == chosen[1]
    assert len(list((tmp_path / "kernels").glob("*.json"))) == 1


@pytest.mark.parametrize("packed", [False, True])
def test_synthetic_batch_learns_every_second_token(folder, packed):
    base = load(folder, "llama")
    batch = synthetic_batch(base, np.array([4, 5, 2]), packed=packed)
    assert batch.examples.tolist() == [0, 0, 1, 1, 2]
    with torch.inference_mode(), Kernel(PACKED if packed else None).attending(base.model):
        assert token_losses(base, batch, plain_head=True).shape == (5,)

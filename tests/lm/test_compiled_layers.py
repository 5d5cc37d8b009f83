"""Layers that are compiled give the losses of layers that are not, and are taken only where that is repaid."""

import os
from dataclasses import replace

import pytest
import torch

from sftlab.lm import measured_compilation, measured_kernel
from sftlab.lm.compiled_layers import compiled_layers, model_layers
from sftlab.lm.kernel import Kernel
from sftlab.lm.measured_compilation import Compilation, compilations, prepare_compiled, with_layers_compiled
from sftlab.lm.measured_kernel import LARGE, Measured, kernel_cache, trial_batch
from sftlab.lm.product_attention import PRODUCTS
from sftlab.lm.token_loss import token_losses
from tests.lm.models import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(autouse=True)
def _inductors_cache(monkeypatch, tmp_path):
    """Where compiled code is kept is a variable of the process, which must not outlive a test."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))


def _known(base, cache, *, seconds: float = 0.1) -> None:
    """As if plain passes had been timed here."""
    file = cache / "kernels" / measured_kernel.measurement_name(base, "here")
    file.parent.mkdir(parents=True, exist_ok=True)
    measured_kernel.write_measurement(file, Measured("llama", "here", "float32/float32", Kernel(), {"sdpa": seconds}))


def test_compilation_repays_where_it_saves_twice_its_cost():
    tried = Compilation("llama", "here", "float32/float32", 1.25, 30.0, 4.0, None)
    assert not tried.repays(39.0)
    assert tried.repays(41.0)
    assert not replace(tried, speedup=0.9).repays(1e9)
    assert not replace(tried, speedup=None, warm_seconds=None, failure="no compiler").repays(1e9)


def test_short_training_tries_nothing(folder, tmp_path):
    base = load(folder, "llama")
    _known(base, tmp_path)
    tokens = LARGE[0] * LARGE[1] * measured_compilation.TRIAL_SECONDS / 0.1
    assert not with_layers_compiled(base, tokens=0.99 * tokens, machine="here", cache=tmp_path).compiled
    assert compilations(tmp_path) == []


def test_what_was_tried_is_kept_and_decides(folder, tmp_path):
    base = load(folder, "llama")
    _known(base, tmp_path)
    file = tmp_path / "compilations" / measured_kernel.measurement_name(base, "here")
    file.parent.mkdir()
    tried = Compilation("llama", "here", "float32/float32", 2.0, 30.0, 4.0, None)
    measured_kernel.write_measurement(file, tried)
    assert compilations(tmp_path) == [tried]
    each = 0.1 / (LARGE[0] * LARGE[1])
    assert with_layers_compiled(base, tokens=16.0 / each, machine="here", cache=tmp_path).compiled
    assert not with_layers_compiled(base, tokens=15.0 / each, machine="here", cache=tmp_path).compiled
    assert not with_layers_compiled(base, tokens=1e12, machine="elsewhere", cache=tmp_path).compiled


def test_compiler_that_fails_is_told_and_not_taken(folder, tmp_path, monkeypatch):
    base = load(folder, "llama")
    _known(base, tmp_path)
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("SFTLAB_CACHE", str(blocked))
    before = {name: weight.clone() for name, weight in base.weights().items()}
    assert not with_layers_compiled(base, tokens=1e12, machine="here", cache=tmp_path).compiled
    (tried,) = compilations(tmp_path)
    assert tried.speedup is None
    assert "file" in str(tried.failure)
    assert all(layer._compiled_call_impl is None for layer in model_layers(base.model))
    assert not base.model.training
    for name, weight in base.weights().items():
        assert torch.equal(weight, before[name])
        assert weight.grad is None
        assert not weight.requires_grad


def _losses_and_gradients(base, shape) -> tuple[torch.Tensor, torch.Tensor]:
    losses = token_losses(base, trial_batch(base, *shape), plain_head=True)
    losses.mean().backward()
    gradients = torch.cat([weight.grad.flatten() for weight in base.weights().values()])
    for weight in base.weights().values():
        weight.grad = None
    return losses.detach(), gradients


@pytest.mark.long
def test_compiled_layers_agree_in_every_size_of_a_batch(folder):
    torch._dynamo.utils.counters.clear()
    base = load(folder, "llama")
    base.model.train().requires_grad_(True)
    kernel = Kernel(PRODUCTS, compiled=True)
    prepare_compiled(base, kernel)
    traced = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert traced >= 1
    with kernel.attending(base.model):
        for shape in [(3, 40), (8, 17), (1, 50), (2, 2)]:
            losses, gradients = _losses_and_gradients(base, shape)
            with compiled_layers(base.model):
                compiled, own = _losses_and_gradients(base, shape)
            torch.testing.assert_close(compiled, losses, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(own, gradients, rtol=1e-3, atol=1e-6)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == traced, "nothing is traced after that"
    assert all(layer._compiled_call_impl is None for layer in model_layers(base.model))
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"].startswith(str(kernel_cache()))

"""Spectra of what a model in memory has learned, against numpy and against those of the folders it is saved to."""

import numpy as np
import pytest
import torch

from sftlab.lm.adapters import inject_lora
from sftlab.measure.change_spectrum import change_spectra
from sftlab.measure.weight_spectrum import COLUMNS, loaded_weight_spectrum
from sftlab.study.methods import Lora
from tests.lm.models import load


def changed(base, *, rank):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in base.weights().values():
            if weight.ndim == 2:
                rows, columns = weight.shape
                left, right = (torch.randn(size, rank, generator=generator) for size in (rows, columns))
                weight.add_(0.01 * left @ right.T)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_spectrum_in_memory_is_that_of_the_saved_folder(kind, tmp_path):
    base = load(tmp_path, kind)
    changed(base, rank=3)
    base.model.save_pretrained(tmp_path / "tuned")
    found = loaded_weight_spectrum(base).sort("tensor")
    saved = change_spectra(tmp_path / kind, tmp_path / "tuned").select(COLUMNS).sort("tensor")
    assert found.height == saved.height > 8
    for name in ("layer", "depth", "part", "rows", "columns"):
        assert found[name].to_list() == saved[name].to_list(), name
    for name in ("change_norm", "stable_rank", "energy_1", "energy_4"):
        np.testing.assert_allclose(found[name], saved[name], rtol=1e-4)
    assert found["stable_rank"].max() <= 3 + 1e-3
    assert found["energy_4"].min() == pytest.approx(1.0, abs=1e-5)
    assert found["energy_1"].max() < 1


def test_adapter_has_the_spectrum_of_its_product(tmp_path):
    base = load(tmp_path, "llama")
    adapter = base.adapter = inject_lora(base.model, Lora(adapter="lora", rank=2), seed=0, base_model="tiny")
    with torch.no_grad():
        for layer in adapter.layers.values():
            layer.b.copy_(torch.randn(layer.b.shape, generator=torch.Generator().manual_seed(2)))
    found = {row["tensor"]: row for row in loaded_weight_spectrum(base).iter_rows(named=True)}
    assert set(found) == {f"{name}.weight" for name in adapter.layers}
    name, layer = next(iter(adapter.layers.items()))
    product = (layer.scale * layer.b @ layer.a).detach().double().numpy()
    values = np.linalg.svd(product, compute_uv=False)
    row = found[f"{name}.weight"]
    assert (row["rows"], row["columns"]) == product.shape
    assert row["stable_rank"] == pytest.approx((values**2).sum() / values[0] ** 2, rel=1e-5)
    assert row["energy_4"] == pytest.approx(1.0)


def test_untouched_weights_have_no_stable_rank(tmp_path):
    found = loaded_weight_spectrum(load(tmp_path, "llama"))
    assert found["stable_rank"].null_count() == found["energy_1"].null_count() == found.height > 0
    assert (found["change_norm"] == 0).all()

"""Spectra of changes against numpy's full decomposition and planted directions."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from sftlab.cli import app
from sftlab.lm.adapters import inject_lora
from sftlab.measure.change_spectrum import agreement, change_spectra, spectrum_of, spectrum_of_factors
from sftlab.study.methods import Lora
from tests.lm.models import load
from tests.measure.test_checkpoint_diff import moved, saved, weights


def low_rank(rows, columns, rank, seed, noise=0.0):
    generator = torch.Generator().manual_seed(seed)
    product = torch.randn(rows, rank, generator=generator) @ torch.randn(rank, columns, generator=generator)
    return product + noise * torch.randn(rows, columns, generator=generator)


@pytest.mark.parametrize("shape", [(40, 24), (24, 40), (700, 640)])
def test_spectrum_equals_that_of_numpy(shape):
    change = low_rank(*shape, rank=5, seed=0, noise=0.05)
    values = np.linalg.svd(change.double().numpy(), compute_uv=False)
    found = spectrum_of(change, directions=8)
    assert found.stable_rank == pytest.approx((values**2).sum() / values[0] ** 2, rel=1e-4)
    assert found.values[:5].numpy() == pytest.approx(values[:5], rel=1e-4)
    for count in (1, 4):
        assert found.energy(count) == pytest.approx((values[:count] ** 2).sum() / (values**2).sum(), rel=1e-3)


def test_top_values_of_a_flat_spectrum_are_never_too_large():
    change = torch.randn(800, 700, generator=torch.Generator().manual_seed(0))
    values = np.linalg.svd(change.double().numpy(), compute_uv=False)
    found = spectrum_of(change, directions=16).values.numpy()
    assert (found <= values[:16] * (1 + 1e-5)).all()
    assert (found >= values[:16] * 0.95).all()


def test_spectrum_of_factors_is_that_of_their_product():
    generator = torch.Generator().manual_seed(0)
    b, a = torch.randn(50, 4, generator=generator), torch.randn(4, 30, generator=generator)
    ours, whole = spectrum_of_factors(b, a, 0.5), spectrum_of(0.5 * b @ a)
    assert ours.values.numpy() == pytest.approx(whole.values[:4].numpy(), rel=1e-4)
    assert agreement(ours, whole) == pytest.approx(1.0, abs=1e-4)


def test_agreement_is_one_for_equal_subspaces_and_chance_for_random_ones():
    one = spectrum_of(low_rank(300, 40, 8, seed=1), directions=8)
    rotated = spectrum_of(
        low_rank(300, 40, 8, seed=1) @ torch.randn(40, 40, generator=torch.Generator().manual_seed(2)), 8
    )
    other = spectrum_of(low_rank(300, 40, 8, seed=3), directions=8)
    assert agreement(one, rotated) == pytest.approx(1.0, abs=1e-3)
    assert agreement(one, other) == pytest.approx(8 / 300, abs=0.03)


def test_no_change_has_no_spectrum():
    found = spectrum_of(torch.zeros(10, 10))
    assert (found.stable_rank, found.energy(1)) == (None, None)
    assert agreement(found, spectrum_of(torch.ones(10, 10))) is None


def test_table_has_every_matrix_once_with_agreement_of_two_runs(tmp_path):
    base = weights(hidden=32)
    sides = [saved(tmp_path / name, moved(base, seed=seed)) for name, seed in (("b", 1), ("c", 1), ("d", 2))]
    folder = saved(tmp_path / "a", base)
    same, other = (change_spectra(folder, sides[0], against=side) for side in sides[1:])
    assert set(same["tensor"]) == {name for name, tensor in base.items() if tensor.ndim == 2}
    assert same.height == len(set(same["tensor"]))
    assert same["agreement"].to_list() == pytest.approx([1.0] * same.height, abs=1e-4)
    assert other["agreement"].mean() == pytest.approx(other["agreement_by_chance"].mean(), abs=0.1)


def test_adapter_has_the_spectrum_of_its_merged_weights(tmp_path):
    base = load(tmp_path, "llama")
    base.adapter = inject_lora(base.model, Lora(adapter="lora", rank=3), seed=0, base_model="tiny")
    for layer in base.adapter.layers.values():
        torch.nn.init.normal_(layer.b, std=0.1, generator=torch.Generator().manual_seed(1))
    (tmp_path / "adapter").mkdir()
    base.adapter.save(tmp_path / "adapter")
    found = change_spectra(tmp_path / "llama", tmp_path / "adapter")
    base.adapter.merge()
    base.adapter = None
    base.model.save_pretrained(tmp_path / "merged")
    merged = {row["tensor"]: row for row in change_spectra(tmp_path / "llama", tmp_path / "merged").to_dicts()}
    assert found.height > 0
    for row in found.to_dicts():
        assert row["stable_rank"] == pytest.approx(merged[row["tensor"]]["stable_rank"], rel=1e-3)
        assert row["energy_4"] == pytest.approx(1.0)


def test_command_prints_ranks_and_agreement(tmp_path):
    base = saved(tmp_path / "a", weights())
    tuned, other = (saved(tmp_path / name, moved(weights(), seed=seed)) for name, seed in (("b", 1), ("c", 2)))
    words = ["diff", str(base), str(tuned), "--against", str(other)]
    assert "agreement by chance" in CliRunner().invoke(app, words).stdout
    assert len(json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)["spectra"]) == 8

"""Relative change by layer and part against brute force."""

from pathlib import Path

import pytest
import torch

from sftlab.errors import ModelError
from sftlab.lm.adapters import inject_lora
from sftlab.measure.checkpoint_diff import diff_checkpoints
from sftlab.measure.weight_change import adapter_weight_change, loaded_weight_change, weight_change
from sftlab.study.methods import Lora
from tests.lm.models import MODELS, load


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("bases")


def same_changes(table, other) -> bool:
    numbers = ("relative_change", "change_norm", "base_norm")
    assert table.select("layer", "part").equals(other.select("layer", "part"))
    return all(table[name].to_list() == pytest.approx(other[name].to_list(), rel=1e-6) for name in numbers)


def _moved(base, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in base.weights().values():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.01)


def _brute(pristine, tuned, belongs) -> float:
    names = [name for name in pristine if belongs(name)]
    change = torch.cat([(tuned[name].detach().double() - pristine[name].double()).flatten() for name in names])
    return float(change.norm() / torch.cat([pristine[name].double().flatten() for name in names]).norm())


def _value(table, layer: int | None, part: str) -> float:
    for row in table.iter_rows(named=True):
        if (row["layer"], row["part"]) == (layer, part):
            return row["relative_change"]
    raise KeyError((layer, part))


GROUPS = {
    "llama": [
        (None, "all", lambda _: True),
        (1, "all", lambda name: ".layers.1." in name),
        (1, "attention", lambda name: ".layers.1.self_attn" in name),
        (2, "mlp", lambda name: ".layers.2.mlp" in name),
        (0, "norm", lambda name: ".layers.0." in name and "layernorm" in name),
        (None, "embedding", lambda name: "embed_tokens" in name),
        (None, "head", lambda name: "lm_head" in name),
        (None, "norm", lambda name: name == "model.norm.weight"),
    ],
    "gpt2": [
        (None, "all", lambda _: True),
        (1, "attention", lambda name: ".h.1.attn" in name),
        (1, "norm", lambda name: ".h.1.ln_" in name),
        (None, "embedding", lambda name: ".wte" in name or ".wpe" in name),
    ],
    "neox": [
        (2, "all", lambda name: ".layers.2." in name),
        (0, "mlp", lambda name: ".layers.0.mlp" in name),
        (None, "head", lambda name: "embed_out" in name or "lm_head" in name),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "layer", "part", "belongs"), [(kind, *group) for kind, groups in GROUPS.items() for group in groups]
)
def test_change_of_a_group_is_its_norm_over_the_bases(kind, layer, part, belongs, folder):
    base = load(folder, kind)
    _moved(base)
    expected = _brute(base.pristine, base.weights(), belongs)
    assert _value(weight_change(base.pristine, base.weights()), layer, part) == pytest.approx(expected, rel=1e-9)
    assert _value(loaded_weight_change(base), layer, part) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", MODELS)
def test_change_of_folders_is_that_in_memory(kind, folder, tmp_path):
    base = load(folder, kind)
    _moved(base)
    base.model.save_pretrained(tmp_path)
    assert same_changes(diff_checkpoints(folder / kind, tmp_path).layers, loaded_weight_change(base))


def test_folder_of_the_original_gpt2_is_compared_by_its_own_names(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    base = load(folder, "gpt2")
    stored = load_file(folder / "gpt2" / "model.safetensors")
    original = {name.removeprefix("transformer."): tensor for name, tensor in stored.items()}
    original["h.0.attn.bias"] = torch.ones(1, 1, 8, 8)
    (tmp_path / "hub").mkdir()
    save_file(original, tmp_path / "hub" / "model.safetensors")
    _moved(base)
    base.model.save_pretrained(tmp_path / "tuned")
    table = diff_checkpoints(tmp_path / "hub", tmp_path / "tuned").layers
    assert table["relative_change"].to_list() == pytest.approx(loaded_weight_change(base)["relative_change"].to_list())


@pytest.mark.parametrize("kind", MODELS)
def test_change_of_an_adapter_is_that_of_the_merged_weights(kind, folder, tmp_path):
    base = load(folder, kind)
    base.adapter = inject_lora(base.model, Lora(adapter="lora", rank=3), seed=0, base_model="tiny")
    for layer in base.adapter.layers.values():
        torch.nn.init.normal_(layer.b, std=0.1, generator=torch.Generator().manual_seed(1))
    base.adapter.save(tmp_path)
    tables = [
        loaded_weight_change(base),
        adapter_weight_change(base.pristine, base.adapter),
        diff_checkpoints(folder / kind, tmp_path).layers,
    ]
    base.adapter.merge()
    base.adapter = None
    merged = loaded_weight_change(base)
    assert merged.height == tables[0].height
    for table in tables:
        assert table["part"].to_list() == merged["part"].to_list()
        for ours, theirs in zip(table["change_norm"], merged["change_norm"], strict=True):
            assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-9)


def test_nothing_changed_is_zero(folder):
    table = loaded_weight_change(load(folder, "llama"))
    assert table["relative_change"].to_list() == [0.0] * table.height


def test_tied_embeddings_are_counted_once(folder):
    base = load(folder, "gpt2")
    table = loaded_weight_change(base)
    parts = table.filter(table["layer"].is_null())["part"].to_list()
    assert parts == ["embedding", "norm", "all"]
    unique = sum(float(weight.double().norm() ** 2) for weight in base.pristine.values())
    assert table["base_norm"][-1] == pytest.approx(unique**0.5, rel=1e-9)


def test_base_of_zeros_has_no_relative_change():
    base = {"model.layers.0.mlp.up_proj.weight": torch.zeros(3)}
    tuned = {"model.layers.0.mlp.up_proj.weight": torch.ones(3)}
    assert weight_change(base, tuned)["relative_change"].to_list() == [None, None, None]


def test_depth_is_the_share_of_the_way_up(folder):
    table = loaded_weight_change(load(folder, "llama"))
    depths = table.filter(table["part"] == "all")["depth"].to_list()
    assert depths == [0.0, 0.5, 1.0, None]


def test_models_of_other_shapes_are_refused(folder):
    base = load(folder, "llama")
    with pytest.raises(ModelError, match="not of one architecture"):
        weight_change(base.pristine, load(folder, "gpt2").pristine)

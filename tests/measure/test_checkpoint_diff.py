"""Two checkpoints on disk compared, against brute force."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from sftlab.cli import app
from sftlab.errors import ModelError, StoreError
from sftlab.measure import checkpoint_diff
from sftlab.measure.checkpoint_diff import diff_checkpoints
from sftlab.report.diff_picture import draw_diff


def weights(seed=0, hidden=24, rows=60, layers=3):
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape):
        return torch.randn(*shape, generator=generator)

    named = {"model.embed_tokens.weight": drawn(rows, hidden), "model.norm.weight": drawn(hidden)}
    for layer in range(layers):
        named[f"model.layers.{layer}.self_attn.q_proj.weight"] = drawn(hidden, hidden)
        named[f"model.layers.{layer}.mlp.up_proj.weight"] = drawn(2 * hidden, hidden)
        named[f"model.layers.{layer}.input_layernorm.weight"] = drawn(hidden)
    named["lm_head.weight"] = drawn(rows, hidden)
    return named


def moved(named, size=0.01, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return {name: tensor + size * torch.randn(tensor.shape, generator=generator) for name, tensor in named.items()}


def saved(folder, named):
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in named.items()}, folder / "model.safetensors")
    return folder


def brute(base, tuned, names):
    change = sum(float(((tuned[name].double() - base[name].double()) ** 2).sum()) for name in names)
    norm = sum(float((base[name].double() ** 2).sum()) for name in names)
    return (change / norm) ** 0.5


def value(frame, **wanted):
    (row,) = [row for row in frame.to_dicts() if all(row[name] == one for name, one in wanted.items())]
    return row


@pytest.mark.parametrize("chunk", [None, 4096])
def test_changes_equal_brute_force_whatever_the_chunks(tmp_path, monkeypatch, chunk):
    if chunk:
        monkeypatch.setattr(checkpoint_diff, "_CHUNK", chunk)
    base = weights(hidden=96)
    tuned = moved(base)
    found = diff_checkpoints(saved(tmp_path / "a", base), saved(tmp_path / "b", tuned))
    for row in found.tensors.to_dicts():
        name = row["tensor"]
        assert row["relative_change"] == pytest.approx(brute(base, tuned, [name]), rel=1e-6)
        assert row["largest_change"] == pytest.approx(float((tuned[name] - base[name]).abs().max()), rel=1e-6)
    layer = [name for name in base if ".layers.1." in name]
    assert value(found.layers, layer=1, part="all")["relative_change"] == pytest.approx(brute(base, tuned, layer))
    assert value(found.layers, layer=None, part="all")["relative_change"] == pytest.approx(brute(base, tuned, base))


def test_shards_and_one_file_are_the_same(tmp_path):
    base, tuned = weights(), moved(weights())
    one = diff_checkpoints(saved(tmp_path / "a", base), saved(tmp_path / "b", tuned))
    folder = tmp_path / "shards"
    folder.mkdir()
    names = sorted(tuned)
    index = {}
    for number, part in enumerate((names[:4], names[4:]), start=1):
        save_file({name: tuned[name] for name in part}, folder / f"model-{number}.safetensors")
        index |= dict.fromkeys(part, f"model-{number}.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    assert diff_checkpoints(tmp_path / "a", folder).tensors.equals(one.tensors)
    assert diff_checkpoints(tmp_path / "a", tmp_path / "b" / "model.safetensors").tensors.equals(one.tensors)


def test_other_precision_is_compared_and_named(tmp_path):
    base = weights()
    tuned = {name: tensor.bfloat16() for name, tensor in base.items()}
    found = diff_checkpoints(saved(tmp_path / "a", base), saved(tmp_path / "b", tuned))
    row = value(found.tensors, tensor="lm_head.weight")
    assert row["dtype"] == "float32 to bfloat16"
    assert row["relative_change"] == pytest.approx(brute(base, tuned, ["lm_head.weight"]), rel=1e-6)
    assert 1e-4 < row["relative_change"] < 4e-3


def test_names_of_wrapped_models_are_matched_and_told(tmp_path):
    base = weights()
    tuned = {f"_orig_mod.{name}": tensor for name, tensor in moved(base).items()}
    found = diff_checkpoints(saved(tmp_path / "a", base), saved(tmp_path / "b", tuned))
    assert set(found.tensors["status"]) == {"changed"}
    assert (
        value(found.tensors, tensor="model.norm.weight")["note"]
        == "called _orig_mod.model.norm.weight in the tuned one"
    )


def test_tied_head_that_is_saved_twice_is_no_tensor_of_its_own(tmp_path):
    base = weights()
    del base["lm_head.weight"]
    tuned = moved(base)
    twice = {**tuned, "lm_head.weight": tuned["model.embed_tokens.weight"].clone()}
    once = diff_checkpoints(saved(tmp_path / "a", base), saved(tmp_path / "b", tuned))
    found = diff_checkpoints(tmp_path / "a", saved(tmp_path / "c", twice))
    assert found.layers.equals(once.layers)
    assert found.notes == ()


def test_missing_resized_and_reshaped_tensors_are_named(tmp_path):
    base, tuned = weights(), moved(weights())
    tuned["model.embed_tokens.weight"] = torch.cat([tuned["model.embed_tokens.weight"], torch.ones(4, 24)])
    tuned["model.layers.0.mlp.up_proj.weight"] = torch.ones(2, 2)
    tuned["model.extra.weight"] = torch.ones(3)
    del tuned["model.norm.weight"]
    found = diff_checkpoints(saved(tmp_path / "a", base), saved(tmp_path / "b", tuned))
    statuses = dict(found.tensors.select("tensor", "status").iter_rows())
    assert statuses["model.embed_tokens.weight"] == "resized"
    assert statuses["model.layers.0.mlp.up_proj.weight"] == "reshaped"
    assert statuses["model.extra.weight"] == "tuned only"
    assert statuses["model.norm.weight"] == "base only"
    assert len(found.notes) == 4
    note = value(found.tensors, tensor="model.embed_tokens.weight")["note"]
    assert note == "60 rows became 64; the first 60 are compared"


def test_equal_checkpoints_are_equal(tmp_path):
    found = diff_checkpoints(saved(tmp_path / "a", weights()), saved(tmp_path / "b", weights()))
    assert set(found.tensors["status"]) == {"equal"}
    assert value(found.layers, layer=None, part="all")["relative_change"] == 0.0


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_tensors_that_hold_no_numbers_are_named_and_not_compared(tmp_path, number):
    tuned = moved(weights())
    name = next(name for name in tuned if "mlp" in name)
    tuned[name].view(-1)[0] = number
    found = diff_checkpoints(saved(tmp_path / "a", weights()), saved(tmp_path / "b", tuned))
    assert value(found.tensors, tensor=name)["status"] == "not finite"
    assert found.notes == (f"1 tensor with weights that are NaN or infinite and not compared: {name}",)
    assert found.layers["relative_change"].is_finite().all()


def test_shard_that_is_missing_is_named(tmp_path):
    folder = tmp_path / "b"
    saved(folder, weights())
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"names 2 files of weights, and 1 of them is not there: model-2\.safetensors"):
        diff_checkpoints(saved(tmp_path / "a", weights()), folder)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"b": "model-2.safetensors"}}))
    with pytest.raises(ModelError, match="names 1 file of weights, and 1 of them"):
        diff_checkpoints(saved(tmp_path / "a", weights()), folder)


def test_norms_of_large_tensors_keep_their_digits(tmp_path):
    base = {"model.norm.weight": torch.full((3_000_017,), 0.1)}
    tuned = {"model.norm.weight": torch.full((3_000_017,), 0.1 + 1e-4)}
    found = diff_checkpoints(saved(tmp_path / "a", base), saved(tmp_path / "b", tuned))
    exact = np.float32(0.1 + 1e-4) - np.float32(0.1)
    assert found.tensors["change_norm"][0] == pytest.approx(float(exact) * 3_000_017**0.5, rel=1e-6)
    assert found.tensors["base_norm"][0] == pytest.approx(float(np.float32(0.1)) * 3_000_017**0.5, rel=1e-7)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: folder / "missing", "there is no checkpoint"),
        (lambda folder: saved(folder / "other", {"weight": torch.ones(2)}), "no tensor in common"),
        (lambda folder: _file(folder / "model.bin"), "neither"),
        (lambda folder: _file(folder / "model.safetensors"), "cannot be read as safetensors"),
    ],
)
def test_wrong_checkpoint_is_refused_in_a_sentence(tmp_path, make, said):
    base = saved(tmp_path / "a", weights())
    with pytest.raises(ModelError, match=said):
        diff_checkpoints(base, make(tmp_path))


def _file(path):
    path.write_bytes(b"x" * 20)
    return path


def test_command_prints_layers_and_draws_a_picture(tmp_path):
    base, tuned = saved(tmp_path / "a", weights()), saved(tmp_path / "b", moved(weights()))
    picture = tmp_path / "diff.svg"
    told = CliRunner().invoke(app, ["diff", str(base), str(tuned), "--figure", str(picture)])
    assert told.exit_code == 0
    assert "whole model" in told.stdout
    assert "<svg" in picture.read_text()
    values = json.loads(CliRunner().invoke(app, ["diff", str(base), str(tuned), "--json"]).stdout)
    assert len(values["tensors"]) == len(weights())


def test_picture_of_another_kind_is_refused_before_reading():
    with pytest.raises(StoreError, match="a picture ends in"):
        CliRunner().invoke(app, ["diff", "a", "b", "--figure", "x.gif"], catch_exceptions=False)


def test_folder_that_cannot_be_written_is_told(tmp_path):
    found = diff_checkpoints(saved(tmp_path / "a", weights()), saved(tmp_path / "b", weights()))
    with pytest.raises(StoreError, match="cannot be written"):
        draw_diff(found.layers, "title", tmp_path / "no" / "x.svg")


def test_change_of_a_small_part_is_not_that_of_the_whole_model(tmp_path):
    base, tuned = weights(), moved(weights())
    tuned["model.embed_tokens.weight"] = tuned["model.embed_tokens.weight"][:30].clone()
    tuned["lm_head.weight"] = torch.ones(7)
    tuned["model.extra.weight"] = torch.ones(3)
    a, b = saved(tmp_path / "a", base), saved(tmp_path / "b", tuned)
    every = sum(tensor.numel() for tensor in base.values())
    share = (every - 30 * 24 - 60 * 24) / every
    assert diff_checkpoints(a, b).compared_share == share
    told = CliRunner().invoke(app, ["diff", str(a), str(b)]).stdout
    assert f"what was compared ({100 * share:.3g} % of the base's numbers)" in told
    assert "whole model" not in told


def _adapter(folder, base_name):
    saved(folder, weights())
    name = "base_model.model.model.layers.0.self_attn.q_proj"
    factors = {f"{name}.lora_A.weight": torch.ones(2, 24), f"{name}.lora_B.weight": torch.ones(24, 2)}
    save_file(factors, folder / "adapter_model.safetensors")
    (folder / "model.safetensors").unlink()
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "base_model_name_or_path": base_name}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("named", "warned"), [("org/mine", False), ("/elsewhere/mine/", False), ("org/other", True), (None, False)]
)
def test_adapter_of_a_base_called_otherwise_is_warned_of_and_compared(tmp_path, named, warned):
    base, adapter = saved(tmp_path / "mine", weights()), _adapter(tmp_path / "adapter", named)
    done = CliRunner().invoke(app, ["diff", str(base), str(adapter)])
    assert done.exit_code == 0
    assert "whole model  " in done.stdout
    assert ("says that its base is org/other" in done.stderr) == warned
    assert done.stderr.count("warning") == warned

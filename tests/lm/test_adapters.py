"""Our LoRA against PEFT's: the same files, the same logits, the same start."""

import json
from pathlib import Path

import peft
import pytest
import torch

from sftlab.errors import ModelError
from sftlab.lm.adapters import inject_lora, linear_modules, load_adapter, target_modules
from sftlab.study.methods import Lora
from tests.lm.models import MODELS, load

IDS = torch.arange(3, 15)[None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("adapters")


def _logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=IDS).logits


def _adapter(base, **options):
    method = Lora(adapter="lora", rank=4, alpha=10.0, **options)
    adapter = inject_lora(base.model, method, seed=1, base_model="tiny")
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for layer in adapter.layers.values():
            layer.b.copy_(torch.randn(layer.b.shape, generator=generator) * 0.1)
    return adapter


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("rank_stabilised", [False, True])
def test_peft_reads_ours_with_the_same_logits(kind, merged, rank_stabilised, folder, tmp_path):
    base = load(folder, kind)
    untouched = _logits(base.model)
    adapter = _adapter(base, rank_stabilised=rank_stabilised)
    assert {layer.scale for layer in adapter.layers.values()} == {5.0 if rank_stabilised else 2.5}
    adapter.save(tmp_path)
    ours = _logits(base.model)
    adapter.unload()
    theirs = peft.PeftModel.from_pretrained(load(folder, kind).model, tmp_path)
    if merged:
        theirs = theirs.merge_and_unload()
    assert (ours - untouched).abs().max() > 1e-3
    assert torch.allclose(_logits(theirs), ours, atol=1e-5)
    base.load_checkpoint(tmp_path)
    assert torch.allclose(_logits(base.model), ours, atol=1e-5)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("rslora", [False, True])
def test_ours_reads_pefts_with_the_same_logits(kind, rslora, folder, tmp_path):
    model = load(folder, kind).model
    config = peft.LoraConfig(
        r=3,
        lora_alpha=7,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        use_rslora=rslora,
        init_lora_weights=False,
    )
    theirs = peft.get_peft_model(model, config).eval()
    theirs.save_pretrained(tmp_path)
    base = load(folder, kind)
    load_adapter(base.model, tmp_path).attach()
    assert torch.allclose(_logits(base.model), _logits(theirs), atol=1e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_targets_are_those_of_peft(kind, folder):
    base = load(folder, kind)
    theirs = peft.get_peft_model(
        load(folder, kind).model, peft.LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    expected = {
        name.removeprefix("base_model.model.").removesuffix(".lora_A.default")
        for name, _ in theirs.named_modules()
        if name.endswith(".lora_A.default")
    }
    assert set(linear_modules(base.model)) == expected


def test_a_starts_as_pefts_does_and_nothing_changes_yet(folder):
    base = load(folder, "gpt2")
    before = _logits(base.model)
    adapter = inject_lora(base.model, Lora(adapter="lora", rank=64), seed=0, base_model="tiny")
    assert torch.equal(_logits(base.model), before)
    reference = torch.nn.Linear(32, 64, bias=False)
    torch.nn.init.kaiming_uniform_(reference.weight, a=5**0.5)
    bound = float(reference.weight.abs().max())
    for name, layer in adapter.layers.items():
        inputs = layer.a.shape[1]
        assert float(layer.a.abs().max()) == pytest.approx(bound * (32 / inputs) ** 0.5, rel=0.02), name
        assert float(layer.a.mean()) == pytest.approx(0.0, abs=0.02)
        assert not layer.b.any()


def test_start_depends_on_the_seed_alone(folder):
    def start(seed: int) -> torch.Tensor:
        base = load(folder, "llama")
        torch.rand(seed + 3)
        adapter = inject_lora(base.model, Lora(adapter="lora", rank=2), seed=seed, base_model="tiny")
        return torch.cat([layer.a.flatten() for layer in adapter.layers.values()])

    assert torch.equal(start(0), start(0))
    assert not torch.equal(start(0), start(1))


@pytest.mark.parametrize("kind", MODELS)
def test_unload_leaves_the_model_as_it_was(kind, folder):
    base = load(folder, kind)
    before, modules = _logits(base.model), [id(module) for module in base.model.modules()]
    adapter = _adapter(base)
    adapter.unload()
    assert torch.equal(_logits(base.model), before)
    assert [id(module) for module in base.model.modules()] == modules
    assert not any(module._forward_hooks for module in base.model.modules())


@pytest.mark.parametrize("kind", MODELS)
def test_delta_is_what_merging_adds(kind, folder):
    base = load(folder, kind)
    adapter = _adapter(base)
    name = next(iter(adapter.layers))
    expected = base.pristine[f"{name}.weight"] + adapter.delta(name)
    adapter.merge()
    assert torch.equal(base.weights()[f"{name}.weight"], expected)


@pytest.mark.parametrize(
    ("targets", "count"), [(("q_proj",), 3), (("q_proj", "down_proj"), 6), ((r".*layers\.1\..*_proj",), 7)]
)
def test_targets_are_names_or_patterns(targets, count, folder):
    assert len(target_modules(load(folder, "llama").model, targets)) == count


def test_ambiguous_targets_are_saved_by_whole_name(folder, tmp_path):
    base = load(folder, "llama")
    _adapter(base, targets=(r"model\.layers\.1\..*q_proj",)).save(tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["target_modules"] == ["model.layers.1.self_attn.q_proj"]
    theirs = peft.PeftModel.from_pretrained(load(folder, "llama").model, tmp_path)
    assert torch.allclose(_logits(theirs), _logits(base.model), atol=1e-5)


def test_target_that_matches_nothing_names_what_there_is(folder):
    with pytest.raises(ModelError, match=r"'query'.*down_proj, gate_proj"):
        target_modules(load(folder, "llama").model, ("query",))


@pytest.mark.parametrize("field", ["use_dora", "modules_to_save", "alpha_pattern"])
def test_adapter_of_another_kind_is_refused(field, folder, tmp_path):
    base = load(folder, "llama")
    adapter = _adapter(base)
    adapter.save(tmp_path)
    adapter.unload()
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**config, field: ["x"]}))
    with pytest.raises(ModelError, match=field):
        load_adapter(base.model, tmp_path)


def test_adapter_for_another_model_is_refused(folder, tmp_path):
    _adapter(load(folder, "llama")).save(tmp_path)
    with pytest.raises(ModelError, match="made for another model"):
        load(folder, "gpt2").load_checkpoint(tmp_path)


def test_dropout_acts_in_training_only(folder):
    base = load(folder, "llama")
    _adapter(base, dropout=0.5)
    still = _logits(base.model)
    assert torch.equal(_logits(base.model), still)
    base.model.train()
    assert not torch.equal(_logits(base.model), _logits(base.model))

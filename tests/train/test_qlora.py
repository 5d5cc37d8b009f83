"""Adapters beside a base in four bits: against PEFT on a model that transformers quantised, and from run to run."""

import peft
import pytest
import torch
import transformers
from pydantic import ValidationError

from sftlab.errors import ModelError
from sftlab.lm.base import LoadedBase, load_base
from sftlab.lm.encoding import EncodedExamples
from sftlab.study.declaration import BaseRef, CustomTemplate, Precision, Study
from sftlab.study.identity import digest
from sftlab.study.methods import Qlora, Quantisation
from sftlab.train import session
from sftlab.train.order import epoch_batches
from tests.lm.models import load, write_model
from tests.train.runs import LORA, data, spec, train

pytest.importorskip("bitsandbytes")

QLORA = Qlora(adapter="qlora", rank=4, alpha=8, learning_rate=1e-2, batch_size=8)


def quantised(bases, method: Qlora = QLORA, **precision: str) -> LoadedBase:
    if not (bases / "llama").is_dir():
        write_model(bases / "llama", "llama")
    ref = BaseRef(name="llama", model=str(bases / "llama"))
    return load_base(ref, device="cpu", precision=Precision(**precision), quantisation=method.quantisation)


def by_transformers(bases, method: Qlora = QLORA) -> torch.nn.Module:
    config = transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=method.quant,
        bnb_4bit_use_double_quant=method.double_quant,
        bnb_4bit_compute_dtype=torch.float32,
    )
    model = transformers.AutoModelForCausalLM.from_pretrained(
        bases / "llama", quantization_config=config, dtype=torch.float32, device_map="cpu"
    )
    # In eval mode bitsandbytes computes in bfloat16 on processors that have it; nothing else differs here.
    return model.train()


@pytest.mark.parametrize("method", [QLORA, QLORA.model_copy(update={"quant": "fp4", "double_quant": False})])
def test_quantised_base_computes_as_that_of_transformers(method, bases):
    base, theirs = quantised(bases, method), by_transformers(bases, method)
    ids = torch.arange(40)[None]
    with torch.no_grad():
        ours = base.model(input_ids=ids).logits
        assert torch.allclose(ours, theirs(input_ids=ids).logits, rtol=0, atol=1e-5)
        exact = load(bases, "llama").model(input_ids=ids).logits
    assert (ours - exact).abs().max() > 1e-3


def peft_losses(model: torch.nn.Module, encoded: EncodedExamples, run) -> list[float]:
    """Plain steps of AdamW, each on one padded batch with PEFT's own forward."""
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], weight_decay=0.0)
    found = []
    for epoch in range(1, run.epochs + 1):
        for numbers in epoch_batches(encoded, batch_size=run.batch_size, seed=0, epoch=epoch):
            spans = [slice(encoded.offsets[number], encoded.offsets[number + 1]) for number in numbers]
            rows = [torch.tensor(encoded.ids[span].astype("int64")) for span in spans]
            masks = [torch.tensor(encoded.learned[span]) for span in spans]
            labels = [torch.where(mask, row, -100) for row, mask in zip(rows, masks, strict=True)]
            ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
            targets = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-100)
            loss = model(input_ids=ids, labels=targets).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.param_groups[0]["lr"] = run.learning_rate
            optimizer.step()
            optimizer.zero_grad()
            found.append(float(loss.detach()))
    return found


@pytest.fixture
def start(bases, tmp_path):
    """An adapter as a run of seed 0 starts it, in a PEFT folder."""
    from sftlab.lm.adapters import inject_lora

    adapter = inject_lora(load(bases, "llama").model, QLORA, seed=0, base_model="tiny")
    (tmp_path / "start").mkdir()
    adapter.save(tmp_path / "start")
    return tmp_path / "start"


def test_losses_equal_those_of_a_loop_over_peft_and_bitsandbytes(bases, start, tmp_path):
    base = quantised(bases)
    given = data(base, tmp_path)
    run = spec(method=QLORA, schedule="constant", warmup_steps=0)
    ours = train(base, run, given, tmp_path / "ours").rows["losses"]["loss"].to_list()
    model = peft.PeftModel.from_pretrained(by_transformers(bases), start, is_trainable=True)
    theirs = peft_losses(model.train(), given.train, run)
    assert ours == pytest.approx(theirs, rel=1e-4)
    assert ours[-1] < ours[0] - 0.1


def test_exported_adapter_gives_the_same_logits_in_peft(bases, tmp_path):
    base = quantised(bases)
    train(base, spec(method=QLORA), data(base, tmp_path), tmp_path)
    folder = tmp_path / "checkpoints" / "epoch-2"
    theirs = peft.PeftModel.from_pretrained(by_transformers(bases), folder).train()
    ids = torch.arange(40)[None]
    with torch.no_grad():
        after_training = base.model(input_ids=ids).logits
        base.load_checkpoint(folder)
        loaded = base.model(input_ids=ids).logits
        expected = theirs(input_ids=ids).logits
        base.reset()
        assert (base.model(input_ids=ids).logits - loaded).abs().max() > 1e-2
    assert torch.equal(after_training, loaded)
    assert torch.allclose(loaded, expected, rtol=0, atol=1e-4)


def test_a_run_after_another_on_the_same_base_is_as_on_a_fresh_one(bases, tmp_path):
    base = quantised(bases)
    given = data(base, tmp_path)
    losses = [
        train(one, spec(method=QLORA), given, tmp_path / str(number)).rows["losses"]["loss"].to_list()
        for number, one in enumerate((base, base, quantised(bases)))
    ]
    assert losses[0] == losses[1] == losses[2]


def test_weight_change_is_relative_to_the_weights_before_quantisation(bases, tmp_path):
    base, exact = quantised(bases), load(bases, "llama")
    trained = train(base, spec(method=QLORA), data(base, tmp_path), tmp_path)
    deltas = {name: base.adapter.delta(name) for name in base.adapter.layers}
    assert len(deltas) == 3 * 7
    change = sum(float(delta.double().square().sum()) for delta in deltas.values()) ** 0.5
    norm = sum(float(weight.double().square().sum()) for weight in exact.pristine.values()) ** 0.5
    (last,) = (
        row
        for row in trained.rows["layers"].iter_rows(named=True)
        if row["part"] == "all" and row["epoch"] == 2 and row["layer"] is None
    )
    assert last["relative_change"] == pytest.approx(change / norm, rel=1e-6)


def test_quantisation_is_part_of_the_recipe():
    plain, fp4, single = (
        QLORA,
        QLORA.model_copy(update={"quant": "fp4"}),
        QLORA.model_copy(update={"double_quant": False}),
    )
    assert len({digest(spec(method=method).recipe) for method in (LORA, plain, fp4, single)}) == 4
    assert plain.quantisation == Quantisation("nf4", double=True)
    assert LORA.quantisation is None


def test_base_without_plain_linear_maps_is_refused_in_one_sentence(tmp_path):
    write_model(tmp_path / "gpt2", "gpt2")
    ref = BaseRef(name="gpt2", model=str(tmp_path / "gpt2"))
    with pytest.raises(ModelError, match="only plain linear maps are quantised"):
        load_base(ref, device="cpu", precision=Precision(), quantisation=QLORA.quantisation)


def test_run_interrupted_inside_an_epoch_ends_in_the_same_bits(bases, tmp_path, monkeypatch):
    monkeypatch.setattr(session, "KEEP_SHARE", 1e9)
    base = quantised(bases, compute="bfloat16")
    given = data(base, tmp_path)
    run = spec(
        method=QLORA.model_copy(update={"gradient_checkpointing": True, "optimizer": "adamw_8bit"}),
        precision=base.precision,
    )
    whole = train(base, run, given, tmp_path / "whole", keep_seconds=1e9)

    def stop(progress) -> None:
        if progress.step == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(base, run, given, tmp_path / "cut", on_progress=stop, keep_seconds=0)
    resumed = train(base, run, given, tmp_path / "cut")
    for table in ("losses", "validation", "layers"):
        assert whole.rows[table].equals(resumed.rows[table]), table
    assert whole.rows["losses"]["loss"][-1] < whole.rows["losses"]["loss"][0] - 0.1


def test_products_in_bfloat16_are_as_close_as_rounding_allows(bases):
    ids = torch.arange(40)[None]
    with torch.no_grad():
        exact = quantised(bases).model(input_ids=ids).logits
        mixed = quantised(bases, compute="bfloat16")
        with mixed.computing():
            rounded = mixed.model(input_ids=ids).logits.float()
    assert 0 < (rounded - exact).abs().max() < 2**-6 * exact.abs().max()


def test_trained_rows_of_special_tokens_stand_beside_the_quantised_base(bases, tmp_path):
    quantised(bases)
    ref = BaseRef(name="llama", model=str(bases / "llama"), special_tokens=("<|new|>",))
    base = load_base(ref, device="cpu", precision=Precision(), quantisation=QLORA.quantisation)
    template = CustomTemplate(prompt="<|new|>{instruction} ", response="{response}")
    given = data(base, tmp_path, template=template)
    train(base, spec(method=QLORA, template=template), given, tmp_path)
    row = base.special_ids[0]
    ids = torch.tensor([[1, row, 5, 6]])
    with torch.no_grad():
        after_training = base.model(input_ids=ids).logits
        base.load_checkpoint(tmp_path / "checkpoints" / "epoch-2")
        assert torch.equal(base.model(input_ids=ids).logits, after_training)
        base.adapter.token_rows.unload()
        assert not torch.equal(base.model(input_ids=ids).logits, after_training)


def test_engine_that_is_given_whole_weights_is_refused():
    fields = {
        "study": "s",
        "bases": ["b"],
        "datasets": {"d": "d.jsonl"},
        "methods": {"small": {"adapter": "qlora"}},
        "evaluation": {"engine": "vllm"},
    }
    with pytest.raises(ValidationError, match=r"methods\.small trains an adapter that stays beside a quantised base"):
        Study.model_validate(fields)
    assert Study.model_validate({**fields, "methods": {"small": {"adapter": "lora"}}})

"""A base with special tokens of its own: trained by every method, refused where no example has one."""

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sftlab.errors import TrainingError
from sftlab.lm.base import LoadedBase, load_base
from sftlab.measure.weight_change import loaded_weight_change
from sftlab.study.declaration import BaseRef, CustomTemplate, Precision
from tests.lm.models import load
from tests.train.runs import FULL, LORA, data, spec, train

TOKENS = ("<|user|>", "<|bot|>")
MARKED = CustomTemplate(prompt="<|user|>{instruction}<|bot|>")
IDS = torch.arange(3, 15)[None]


def _base(bases, kind: str) -> LoadedBase:
    path = load(bases, kind).ref.model
    ref = BaseRef(name=kind, model=path, special_tokens=TOKENS)
    return load_base(ref, device="cpu", precision=Precision())


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
def test_new_embeddings_are_trained_and_come_back_from_the_checkpoint(kind, method, bases, tmp_path):
    base = _base(bases, kind)
    given = data(base, tmp_path, template=MARKED)
    trained = train(base, spec(method=method, template=MARKED), given, tmp_path)
    name = "model.embed_tokens.weight" if kind == "llama" else "transformer.wte.weight"
    rows = [base.special_ids[0], base.special_ids[1]]
    moved = (base.weights()[name] - base.pristine[name]).abs().amax(1)
    assert (moved[rows] > 1e-3).all()
    assert method is FULL or int((moved > 0).sum()) == 2
    with torch.inference_mode():
        ours = base.model(input_ids=IDS).logits
    folder = tmp_path / "checkpoints" / "epoch-2"
    base.load_checkpoint(folder)
    with torch.inference_mode():
        assert torch.allclose(base.model(input_ids=IDS).logits, ours, atol=1e-5)
    change = trained.rows["layers"].filter(epoch=2, part="embedding")["change_norm"].item()
    expected = loaded_weight_change(base).filter(part="embedding")["change_norm"].item()
    assert change == pytest.approx(expected, rel=1e-4)
    assert change > 0
    if method is FULL:
        theirs = AutoModelForCausalLM.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert tuple(tokenizer.convert_tokens_to_ids(list(TOKENS))) == base.special_ids
    else:
        theirs = peft.PeftModel.from_pretrained(_base(bases, kind).model, folder)
    with torch.inference_mode():
        assert torch.allclose(theirs(input_ids=IDS).logits, ours, atol=1e-5)


def test_resumed_lora_has_its_rows_again(bases, tmp_path):
    base = _base(bases, "llama")
    given, run = data(base, tmp_path, template=MARKED), spec(method=LORA, template=MARKED)
    whole = train(base, run, given, tmp_path / "whole").rows["losses"]

    def stop(progress):
        if progress.step == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(base, run, given, tmp_path / "parts", on_progress=stop, keep_seconds=0.0)
    assert train(base, run, given, tmp_path / "parts").rows["losses"].equals(whole)


def test_tokens_that_no_example_has_are_refused(bases, tmp_path):
    base = _base(bases, "llama")
    with pytest.raises(TrainingError, match=r"none of the special tokens of llama \(<\|user\|>, <\|bot\|>\)"):
        train(base, spec(), data(base, tmp_path), tmp_path)

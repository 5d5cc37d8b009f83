"""An adapter with trained embeddings leaves the store with its tokenizer and with word of what its base needs."""

import json

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from sftlab.cli.working import do_missing
from sftlab.lm.base import load_base
from sftlab.plan.opening import Opened
from sftlab.release.card import model_card
from sftlab.release.chosen import chosen_checkpoint
from sftlab.release.export import export_model
from tests.end_to_end.inline import opened
from tests.lm.models import WORDS, write_model

STUDY = """
study: marked
bases: [{{name: marked, model: {folder}/base, special_tokens: ["<|user|>", "<|bot|>"]}}]
datasets:
  cats: {{path: {folder}/cats.jsonl, prompt: question, response: answer}}
samples: 16
validation: 0
template: {{prompt: "<|user|>{{instruction}}<|bot|>"}}
methods:
  lora: {{adapter: lora, rank: 4, learning_rate: 3.0e-2, batch_size: 2}}
epochs: 1
measures: []
"""


@pytest.fixture(scope="module")
def marked(tmp_path_factory) -> Opened:
    folder = tmp_path_factory.mktemp("marked")
    write_model(folder / "base", "llama")
    rows = [{"question": f"{word} {other}?", "answer": "a cat"} for word in WORDS[:4] for other in WORDS[:4]]
    (folder / "cats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "study.yaml").write_text(STUDY.format(folder=folder))
    do_missing(opened(folder / "study.yaml", folder / "store"), on="inline", workers=1)
    return opened(folder / "study.yaml", folder / "store")


@pytest.mark.parametrize("merged", [False, True])
def test_exported_folder_has_tokens_and_logits_of_the_checkpoint(marked, merged, tmp_path):
    one = chosen_checkpoint(marked.resolved.cells, marked.store, "marked/cats", epoch=None)
    export_model(one, tmp_path / "out", merged=merged, force=False, card="")
    loaded = load_base(one.base.base, device="cpu", precision=one.run.spec.precision)
    loaded.load_checkpoint(one.folder)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    asked = [{"role": "user", "content": "the cat?"}]
    ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=False)
    assert set(loaded.special_ids) <= set(ids[0].tolist())
    if merged:
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    else:
        model = AutoModelForCausalLM.from_pretrained(one.base.base.model)
        model.resize_token_embeddings(len(tokenizer))
        model = PeftModel.from_pretrained(model, tmp_path / "out")
    with torch.inference_mode():
        assert torch.allclose(model(input_ids=ids).logits, loaded.model(input_ids=ids).logits, atol=1e-4)


def test_card_says_what_the_base_needs(marked):
    one = chosen_checkpoint(marked.resolved.cells, marked.store, "marked/cats", epoch=None)
    card = model_card(marked.study, one, {}, marked.results.table("scores"), adapter=True)
    assert "The embeddings of `<|user|>`, `<|bot|>` were trained." in card
    assert "resize_token_embeddings(len(tokenizer))" in card

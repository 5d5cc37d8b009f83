"""Exported folders open in transformers and PEFT and are the models that were trained."""

import json
from pathlib import Path

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from sftlab.errors import StoreError, StudyError
from sftlab.lm.base import load_base
from sftlab.lm.encoding import encode_prompt
from sftlab.lm.generation import generate_greedy
from sftlab.lm.templates import render_prompt, resolve_template
from sftlab.release.chosen import chosen_checkpoint
from sftlab.release.export import export_model
from tests.end_to_end.flow import sftlab

ENDS = {"talks": "<|im_end|>", "plain": "</s>"}


def chosen(trained, asked, epoch=None):
    return chosen_checkpoint(trained.resolved.cells, trained.store, asked, epoch=epoch)


def export(trained, asked, folder, *, merged=False, force=False, epoch=None):
    return export_model(chosen(trained, asked, epoch), folder, merged=merged, force=force, card="# card\n")


def answer(model, tokenizer):
    asked = [{"role": "user", "content": "the a?"}]
    ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=False)
    with torch.inference_mode():
        written = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=20)[0, ids.shape[1] :]
    return written.tolist()


def stored_logits(one, ids):
    loaded = load_base(one.base.base, device="cpu", precision=one.run.spec.precision)
    loaded.load_checkpoint(one.folder)
    with torch.inference_mode():
        return loaded.model(input_ids=ids).logits


def evaluated_answer(one):
    """What evaluation lets the checkpoint write, which is not nothing."""
    loaded = load_base(one.base.base, device="cpu", precision=one.run.spec.precision)
    loaded.load_checkpoint(one.folder)
    template = resolve_template(one.run.spec.template, loaded.tokenizer)
    prompt = encode_prompt(loaded.base_tokenizer, render_prompt("the a?", template))
    stops = () if template.end_of_turn is None else (template.end_of_turn,)
    text = generate_greedy(loaded, [prompt], max_new_tokens=20, stops=stops, max_batch_tokens=1000)[0]
    assert text.strip()
    return text


@pytest.mark.parametrize("kind", ["full", "lora", "merged"])
@pytest.mark.parametrize("base", ["talks", "plain"])
def test_export_gives_the_checkpoints_logits_and_ends_at_the_end_of_turn(trained, tmp_path, base, kind):
    asked = f"{base}/cats/{'full' if kind == 'full' else 'lora'}"
    written = export(trained, asked, tmp_path / "out", merged=kind == "merged")
    opener = AutoPeftModelForCausalLM if kind == "lora" else AutoModelForCausalLM
    model = opener.from_pretrained(written.folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(written.folder)
    ids = torch.tensor([[5, 9, 30, 41, 12, 7]])
    with torch.inference_mode():
        logits = model(input_ids=ids).logits
    torch.testing.assert_close(logits, stored_logits(chosen(trained, asked), ids), rtol=1e-4, atol=1e-4)
    model.generation_config = type(model.generation_config).from_pretrained(written.folder)
    ids = answer(model, tokenizer)
    assert tokenizer.decode(ids[:-1]) == evaluated_answer(chosen(trained, asked))
    assert tokenizer.convert_ids_to_tokens(ids[-1]) == ENDS[base] == written.end_tokens[0]
    assert written.adapter == (kind == "lora")


def test_each_epoch_can_be_exported_and_the_last_is_the_default(trained, tmp_path):
    weights = {epoch: export(trained, "talks/cats/full", tmp_path / str(epoch), epoch=epoch) for epoch in (1, 3, None)}
    read = {epoch: (one.folder / "model.safetensors").read_bytes() for epoch, one in weights.items()}
    assert read[3] == read[None] != read[1]


def test_labels_and_their_beginnings_mean_their_checkpoint(trained):
    one = chosen(trained, "plain/cats/full", 2)
    assert chosen(trained, one.label) == one
    assert chosen(trained, one.label[:8]) == chosen(trained, "plain/cats/full")
    assert chosen(trained, one.label[:8], 2) == one


@pytest.mark.parametrize(
    ("asked", "epoch", "said"),
    [
        ("talks/cats/ful/", None, "did you mean 'talks/cats/full"),
        ("talks", None, "is how several begin, and one is needed: talks/cats/full"),
        ("", None, "there is no run or checkpoint ''"),
        ("talks/cats/full", 7, "has no weights of epoch 7 on disk: legal here is 1, 2, 3"),
    ],
)
def test_wrong_runs_are_refused_in_one_sentence(trained, asked, epoch, said):
    with pytest.raises(StudyError) as error:
        chosen(trained, asked, epoch)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_label_and_another_epoch_contradict(trained):
    label = chosen(trained, "plain/cats/full", 2).label
    with pytest.raises(StudyError, match="epoch 2, and --epoch says 3"):
        chosen(trained, label, 3)


def test_merging_a_whole_model_is_refused(trained, tmp_path):
    with pytest.raises(StudyError, match="--merged is for adapters"):
        export(trained, "talks/cats/full", tmp_path / "out", merged=True)


def test_only_an_earlier_export_is_replaced_and_only_by_force(trained, tmp_path):
    folder = tmp_path / "out"
    export(trained, "talks/cats/full", folder)
    with pytest.raises(StoreError, match="--force"):
        export(trained, "talks/cats/lora", folder)
    export(trained, "talks/cats/lora", folder, force=True)
    assert not (folder / "model.safetensors").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("x")
    with pytest.raises(StoreError, match="no exported model"):
        export(trained, "talks/cats/lora", mine, force=True)
    assert [path.name for path in mine.iterdir()] == ["thesis.tex"]
    with pytest.raises(StoreError, match="is a file"):
        export(trained, "talks/cats/lora", mine / "thesis.tex")


def test_export_that_fails_leaves_nothing(trained, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("x")
    with pytest.raises(StoreError, match="cannot be written"):
        export(trained, "talks/cats/full", blocked / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_command_writes_a_card_with_recipe_and_numbers(trained, tmp_path):
    words = ("talks/cats/lora", "--to", tmp_path / "out", "--store", trained.store.root, "--json")
    facts = json.loads(sftlab("export", trained.path, *words).stdout)
    card = (Path(facts["folder"]) / "README.md").read_text()
    assert facts["kind"] == "adapter"
    assert facts["ends_with"][0] == "<|im_end|>"
    header, _, body = card.removeprefix("---\n").partition("---\n")
    assert "library_name: peft" in header
    assert "| learning rate | 0.01 |" in body
    assert "| rank | 8 |" in body
    assert "cats: `cats.jsonl`" in body
    steps = trained.store.record(chosen(trained, "talks/cats/lora").run.identity).result["steps"]
    assert f"| optimizer steps | {steps} |" in body

"""Numbers of a finished study, computed again from its files by other means: plain transformers, and lm-eval."""

import json
import math
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from sftlab.pocket.catalogue import pocket_base_folder
from tests.end_to_end.flow import sftlab, table

STUDY = """\
study: witness
bases: [{{name: base, model: "{base}"}}]
datasets: {{sums: data.jsonl}}
samples: 24
validation: 0
methods:
  full: {{learning_rate: 1.0e-3, batch_size: 8}}
  lora: {{adapter: lora, rank: 4, alpha: 8, learning_rate: 5.0e-3, batch_size: 8}}
epochs: 1
template: question_answer
evaluation:
  template: plain
  benchmarks: [{{file: choices.yaml}}, {{name: gold, data: gold.jsonl}}]
"""
CHOICES = """\
task: choices
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/choices.jsonl}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: choices
doc_to_target: label
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
"""


def lines(rows: list[dict[str, object]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


class Done:
    """A finished study of one base, and its files."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder, self.base = folder, base
        words = ["cat", "dog", "tree", "house", "red", "blue"]
        self.examples = [
            {"question": f"What comes after {a} and {b}?", "answer": f"The {words[(i + j) % 6]} comes after the {a}."}
            for i, a in enumerate(words)
            for j, b in enumerate(words)
        ][:24]
        self.items = [
            {"question": f"One day a {a} saw a {b}. The", "choices": [a, b, "very big moon"], "label": (i + j) % 3}
            for i, a in enumerate(words)
            for j, b in enumerate(words)
            if a != b
        ]
        (folder / "data.jsonl").write_text(lines(self.examples))
        (folder / "gold.jsonl").write_text(lines(self.examples[:10]))
        (folder / "choices.jsonl").write_text(lines(self.items))
        (folder / "choices.yaml").write_text(CHOICES.format(folder=folder))
        self.study = folder / "study.yaml"
        self.study.write_text(STUDY.format(base=base))
        sftlab("run", self.study)

    def table(self, name: str) -> pl.DataFrame:
        return table(self.study, name, self.folder / ".sftlab")

    def checkpoint(self, method: str) -> Path:
        frame = self.table("checkpoints").filter(pl.col("run").str.contains(f"/{method}/"))
        return Path(frame["path"][0])


@pytest.fixture(scope="module", params=["pocket", "pretrained"])
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Done:
    if request.param == "pocket":
        base = pocket_base_folder("llama-facts")
    else:
        base = request.getfixturevalue("shared") / "weights" / "stories260K"
    return Done(tmp_path_factory.mktemp(request.param), base)


def test_response_perplexity_is_that_of_plain_transformers(done: Done) -> None:
    model = AutoModelForCausalLM.from_pretrained(done.base, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(done.base)
    total, count = 0.0, 0
    for example in done.examples:
        prompt = f"###Question: {example['question']}\n###Answer:"
        text = f"{prompt} {example['answer']}"
        encoded = tokenizer(text, return_offsets_mapping=True)
        ids = [*encoded["input_ids"], tokenizer.eos_token_id]
        starts = len(prompt) + 1
        learned = [end > starts for _, end in encoded["offset_mapping"]] + [True]
        with torch.no_grad():
            log_probabilities = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        for place in range(1, len(ids)):
            if learned[place]:
                total -= log_probabilities[place - 1, ids[place]].item()
                count += 1
    data = done.table("data").filter(pl.col("property") == "response_perplexity")
    assert data["value"].to_list() == pytest.approx([math.exp(total / count)], rel=1e-5)
    assert data["n"].to_list() == [24]


def test_weight_change_of_full_run_is_the_norm_of_the_difference_of_the_files(done: Done) -> None:
    base, tuned = (load_file(folder / "model.safetensors") for folder in (done.base, done.checkpoint("full")))
    layer = [name for name in base if ".layers.2." in name]
    change = math.sqrt(sum(float((tuned[name].double() - base[name].double()).square().sum()) for name in layer))
    norm = math.sqrt(sum(float(base[name].double().square().sum()) for name in layer))
    row = done.table("layers").filter(
        pl.col("run").str.contains("/full/") & (pl.col("layer") == 2) & (pl.col("part") == "all")
    )
    assert row["relative_change"].to_list() == pytest.approx([change / norm], rel=1e-5)
    assert change > 0


def test_weight_change_of_lora_run_is_that_of_the_merged_peft_model(done: Done) -> None:
    from peft import PeftModel

    base = AutoModelForCausalLM.from_pretrained(done.base, dtype=torch.float32)
    before = {name: weight.detach().clone().double() for name, weight in base.named_parameters()}
    merged = PeftModel.from_pretrained(base, done.checkpoint("lora")).merge_and_unload()
    after = dict(merged.named_parameters())
    change = math.sqrt(sum(float((after[name].double() - weight).square().sum()) for name, weight in before.items()))
    norm = math.sqrt(sum(float(weight.square().sum()) for weight in before.values()))
    row = done.table("layers").filter(
        pl.col("run").str.contains("/lora/") & pl.col("layer").is_null() & (pl.col("part") == "all")
    )
    assert row["relative_change"].to_list() == pytest.approx([change / norm], rel=1e-4)


@pytest.mark.parametrize("method", ["none", "full", "lora"])
def test_choice_scores_are_those_of_lm_eval(done: Done, method: str) -> None:
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from peft import PeftModel

    folder = done.checkpoint(method) if method == "full" else done.base
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if method == "lora":
        model = PeftModel.from_pretrained(model, done.checkpoint("lora"))
    tokenizer = AutoTokenizer.from_pretrained(done.base)
    answer = lm_eval.simple_evaluate(
        model=HFLM(pretrained=model, tokenizer=tokenizer, batch_size=8),
        tasks=["choices"],
        task_manager=TaskManager(include_path=str(done.folder), include_defaults=False),
        bootstrap_iters=0,
    )
    theirs = answer["results"]["choices"]
    scores = done.table("scores").filter(pl.col("benchmark") == "choices")
    scores = scores.filter((pl.col("method") == method) if method != "none" else (pl.col("dataset") == "none"))
    ours = dict(zip(scores["metric"], scores["value"], strict=True))
    assert ours["accuracy"] == pytest.approx(theirs["acc,none"])
    assert ours["accuracy_per_byte"] == pytest.approx(theirs["acc_norm,none"])
    logged = {sample["doc_id"]: sample for sample in answer["samples"]["choices"]}
    items = done.table("items").filter(
        (pl.col("checkpoint") == scores["checkpoint"][0]) & (pl.col("metric") == "accuracy")
    )
    golds = [logged[number]["filtered_resps"][done.items[number]["label"]][0] for number in range(len(done.items))]
    assert items["log_likelihood"].to_list() == pytest.approx(golds, abs=1e-4)


def test_gold_bits_per_byte_is_the_log_likelihood_over_the_bytes(done: Done) -> None:
    model = AutoModelForCausalLM.from_pretrained(done.checkpoint("full"), dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(done.base)
    bits, num_bytes = 0.0, 0
    for example in done.examples[:10]:
        prompt, whole = example["question"], f"{example['question']} {example['answer']}"
        ids, start = tokenizer(whole)["input_ids"], len(tokenizer(prompt)["input_ids"])
        with torch.no_grad():
            log_probabilities = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        bits -= sum(log_probabilities[place - 1, ids[place]].item() for place in range(start, len(ids))) / math.log(2)
        num_bytes += len(str(example["answer"]).encode())
    scores = done.table("scores").filter((pl.col("benchmark") == "gold") & (pl.col("method") == "full"))
    assert scores["value"].to_list() == pytest.approx([bits / num_bytes], rel=1e-5)

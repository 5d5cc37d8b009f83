"""Instruction data as their owners published them."""

import csv
import json
from pathlib import Path

import pytest

from sftlab.data.example import Turn
from sftlab.data.reading import read_dataset
from sftlab.data.summary import summarise
from sftlab.study.declaration import DatasetRef

# file, shape, records as the folder's README counts them, of which unusable (an empty output)
FILES = [
    ("alpaca.json", "instruction", 9229, 4),
    ("lima.json", "instruction", 1029, 0),
    ("code_alpaca.json", "instruction", 2017, 2),
    ("gpteacher_codegen.json", "instruction", 4535, 0),
    ("evol_instruct.json", "sharegpt", 1000, 0),
    ("dolly.json", "instruction", 2996, 0),
    ("gsm8k_train.jsonl", "question_answer", 7473, 0),
    ("freebaseqa.jsonl", "context_answer", 19520, 0),
    ("boolq_nopassage.json", "instruction", 9427, 0),
    ("flan_like_reasoning.json", "instruction", 8327, 0),
    ("comprehension.jsonl", "messages", 3000, 0),
]


@pytest.mark.parametrize(("file", "shape", "num_rows", "num_broken"), FILES)
def test_published_file_is_read_without_a_hint(shared: Path, file, shape, num_rows, num_broken):
    dataset = read_dataset(DatasetRef(path=str(shared / "data" / "sft" / file)), name="published")
    assert (dataset.shape, dataset.num_rows, len(dataset.broken)) == (shape, num_rows, num_broken)
    assert {row.reason for row in dataset.broken} <= {"empty response"}


def test_flan_is_read_once_its_columns_are_named(shared: Path):
    path = shared / "data" / "sft" / "flan_aqua.tsv"
    dataset = read_dataset(DatasetRef(path=str(path), columns=("question", "answer", "rationale")), name="aqua")
    assert (dataset.shape, dataset.num_rows, len(dataset.broken)) == ("question_answer", 2728, 0)
    question, answer = dataset.examples[0].turns
    assert question.content.startswith("Rs. 5600 is divided")
    assert "?\nOptions:\n(A) 300\n(B) 992" in question.content
    assert answer == Turn("assistant", "(C)")
    with path.open(newline="", encoding="utf-8") as file:
        witness = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert [example.turns[1].content for example in dataset.examples] == [row[1] for row in witness]


def test_lima_history_comes_before_the_last_question(shared: Path):
    path = shared / "data" / "sft" / "lima.json"
    dataset = read_dataset(DatasetRef(path=str(path)), name="lima")
    rows = json.loads(path.read_text(encoding="utf-8"))
    for example, row in zip(dataset.examples, rows, strict=True):
        said = [text for pair in row["history"] for text in pair] + [row["instruction"], row["output"]]
        assert [turn.content for turn in example.turns] == said
    assert summarise(dataset).num_multi_turn == 29
    first = read_dataset(DatasetRef(path=str(path), turns="first"), name="lima")
    assert len(first.examples) == 1029
    assert all(len(example.turns) == 2 for example in first.examples)
    multi = next(index for index, row in enumerate(rows) if row["history"])
    assert [turn.content for turn in first.examples[multi].turns] == rows[multi]["history"][0]


def test_alpaca_input_follows_after_one_newline(shared: Path):
    path = shared / "data" / "sft" / "alpaca.json"
    dataset = read_dataset(DatasetRef(path=str(path)), name="alpaca")
    rows = json.loads(path.read_text(encoding="utf-8"))
    for example in dataset.examples:
        row = rows[example.index]
        expected = f"{row['instruction']}\n{row['input']}" if row["input"] else row["instruction"]
        assert example.turns == (Turn("user", expected), Turn("assistant", row["output"]))
    assert [row.index for row in dataset.broken] == [place for place, row in enumerate(rows) if not row["output"]]


def test_baked_in_template_of_evol_instruct_is_found(shared: Path):
    dataset = read_dataset(DatasetRef(path=str(shared / "data" / "sft" / "evol_instruct.json")), name="evol")
    counts = {finding.kind: finding.count for finding in summarise(dataset).findings}
    assert counts["template in the text"] == 1000


@pytest.mark.parametrize("file", ["alpaca.json", "gsm8k_train.jsonl", "freebaseqa.jsonl"])
def test_clean_published_file_has_no_template(shared: Path, file):
    dataset = read_dataset(DatasetRef(path=str(shared / "data" / "sft" / file)), name="clean")
    assert "template in the text" not in {finding.kind for finding in summarise(dataset).findings}

"""Planted overlaps of a dataset with benchmarks and other datasets are counted and shown."""

import json

import pytest

from sftlab.data.example import Dataset, Example, Turn
from sftlab.errors import BenchmarkError
from sftlab.plan.overlaps import benchmark_overlaps, dataset_overlaps, shipped_questions

QUESTION = "Tom has seven red apples and gives two of them to his sister Ann so how many apples are left for him"


def dataset(name: str, *prompts: str) -> Dataset:
    examples = (Example((Turn("user", text), Turn("assistant", "five")), place) for place, text in enumerate(prompts))
    return Dataset("messages", tuple(examples), (), name)


def test_questions_of_a_benchmark_folder_are_found_in_the_text(tmp_path):
    others = [f"Ann walks {number} miles to the market and buys {number} pears there every day" for number in range(4)]
    rows = [{"question": text, "answer": "so it is\n#### 5"} for text in (QUESTION, *others)]
    (tmp_path / "gsm8k_test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    questions = shipped_questions(tmp_path)
    assert "gsm8k" in questions
    (found,) = benchmark_overlaps(dataset("mine", "Write a poem", f"Solve this. {QUESTION}?"), questions)
    assert found.kind == "question of gsm8k in the text, of 5 tested"
    assert found.count == 1
    assert found.excerpts[0].index == 1


def test_a_folder_without_benchmarks_is_refused(tmp_path):
    with pytest.raises(BenchmarkError, match="holds the items of no benchmark"):
        shipped_questions(tmp_path)


def test_examples_of_another_dataset_are_found_word_for_word_and_nearly():
    ours = dataset("ours", "Write a poem", QUESTION, QUESTION + " then", "What else is there to say of this")
    found = {finding.kind: finding for finding in dataset_overlaps(ours, dataset("theirs", "Other", QUESTION))}
    assert found["example of theirs, word for word"].count == 1
    assert found["example of theirs, word for word"].excerpts[0].text == "row 1 of theirs"
    near = found["nearly an example of theirs"]
    assert near.count == 1
    assert near.excerpts[0].index == 2

"""The pocket study as files."""

import csv
import json
import re
from pathlib import Path

import pytest
import yaml

from sftlab.errors import DataError, StudyError
from sftlab.pocket.catalogue import POCKET_BASES, pocket_base_folder
from sftlab.pocket.domains import DOMAINS
from sftlab.pocket.files import PocketDesign, write_pocket_study
from sftlab.study.declaration import Study

_PROMPTS_OF = {
    "facts.csv": lambda path: [row["question"] for row in csv.DictReader(path.open())],
    "arithmetic.json": lambda path: [f"{row['instruction']}\n{row['input']}" for row in json.loads(path.read_text())],
    "strings.jsonl": lambda path: [row["prompt"] for row in _json_lines(path)],
    "reading.jsonl": lambda path: [row["messages"][0]["content"] for row in _json_lines(path)],
}


def _json_lines(path: Path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def _contents(folder: Path):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_pocket_study(tmp_path_factory.mktemp("pocket"))


def test_writing_twice_gives_the_same_bytes(study, tmp_path):
    write_pocket_study(tmp_path)
    assert _contents(tmp_path) == _contents(study.parent)


def test_writing_again_leaves_right_files_untouched_and_mends_others(tmp_path):
    write_pocket_study(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jsonl")}
    whole = (tmp_path / "data" / "facts.csv").read_bytes()
    (tmp_path / "data" / "facts.csv").write_text("cut off")
    write_pocket_study(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jsonl")} == before
    assert (tmp_path / "data" / "facts.csv").read_bytes() == whole


def test_study_file_is_a_legal_study_of_32_runs(study):
    declared = Study.model_validate(yaml.safe_load(study.read_text()))
    factors = (declared.bases, declared.datasets, declared.methods, declared.samples, declared.epochs, declared.seeds)
    sizes = [len(factor) for factor in factors]
    assert sizes == [4, 4, 2, 1, 1, 1]
    assert {base.family for base in declared.bases} == {"llama", "neox"}
    assert [base.model for base in declared.bases] == [str(pocket_base_folder(name)) for name in POCKET_BASES]
    assert len(declared.evaluation.benchmarks) == len(DOMAINS)
    for dataset in declared.datasets.values():
        assert (study.parent / dataset.path).is_file()
    for benchmark in declared.evaluation.benchmarks:
        assert (study.parent / (benchmark.file or benchmark.data)).is_file()


def test_study_file_of_a_smaller_design_names_only_what_it_asks_for(tmp_path):
    design = PocketDesign(bases=("neox-facts",), datasets=("facts", "reading"), samples=32, seeds=(0, 1), items=8)
    declared = Study.model_validate(yaml.safe_load(write_pocket_study(tmp_path, design=design).read_text()))
    assert [base.name for base in declared.bases] == ["neox-facts"]
    assert list(declared.datasets) == ["facts", "reading"]
    assert declared.samples == (32,)
    assert declared.seeds == (0, 1)
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"facts.csv", "reading.jsonl"}
    assert len(_json_lines(tmp_path / "bench" / "reading_choice.jsonl")) == 8


def test_each_dataset_holds_320_distinct_prompts_none_of_them_in_a_benchmark(study):
    asked = {row["question"] for path in (study.parent / "bench").glob("*.jsonl") for row in _json_lines(path)}
    assert len(asked) == 400
    for name, prompts_of in _PROMPTS_OF.items():
        prompts = prompts_of(study.parent / "data" / name)
        assert len(prompts) == len(set(prompts)) == 320
        assert asked.isdisjoint(prompts)


def test_choice_benchmark_labels_point_at_an_answer_that_the_passage_allows(study):
    rows = _json_lines(study.parent / "bench" / "reading_choice.jsonl")
    labels = [row["label"] for row in rows]
    assert all(0 <= row["label"] < len(row["choices"]) for row in rows)
    assert max(labels.count(label) for label in set(labels)) < 60
    with_values = [row for row in rows if set(row["choices"]) != {"yes", "no"}]
    assert len(with_values) > 40
    for row in with_values:
        told = re.findall(r"\w+", row["question"])
        assert [choice for choice in row["choices"] if choice in told] == [row["choices"][row["label"]]]


def test_number_benchmark_reads_the_number_out_of_a_worked_answer(study):
    task = yaml.safe_load((study.parent / "bench" / "arithmetic_answer.yaml").read_text())
    (regex,) = (step["regex_pattern"] for step in task["filter_list"][0]["filter"] if step["function"] == "regex")
    assert re.findall(regex, "3 - 10 = -7\n#### -7") == ["-7"]
    assert re.findall(regex, "3 - 10 = -7") == []


def test_benchmarks_are_read_by_the_evaluation_harness(study, monkeypatch):
    pytest.importorskip("lm_eval")
    from lm_eval.api.task import ConfigurableTask

    monkeypatch.chdir(study.parent / "bench")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(study.parent / "cache"))
    choice, number = (
        ConfigurableTask(config=yaml.safe_load((study.parent / "bench" / f"{name}.yaml").read_text()))
        for name in ("reading_choice", "arithmetic_answer")
    )
    for doc, row in zip(choice.test_docs(), _json_lines(study.parent / "bench" / "reading_choice.jsonl"), strict=True):
        assert choice.doc_to_text(doc) == row["question"]
        assert choice.doc_to_choice(doc)[choice.doc_to_target(doc)] == row["choices"][row["label"]]
    assert len(list(number.test_docs())) == 100
    assert "#### " in number.doc_to_target(next(iter(number.test_docs())))


@pytest.mark.parametrize(
    ("design", "sentence"),
    [
        ({"bases": ("gpt9",)}, "unknown pocket base 'gpt9': legal are llama-facts, llama-skills"),
        ({"datasets": ("fact",)}, "unknown pocket dataset 'fact': legal are facts, arithmetic"),
    ],
)
def test_unknown_name_is_an_error_that_lists_the_legal_ones(design, sentence):
    with pytest.raises(StudyError, match=sentence):
        PocketDesign(**design)


def test_more_items_than_the_world_holds_is_an_error(tmp_path):
    with pytest.raises(DataError, match="ask for fewer, or make the world larger"):
        write_pocket_study(tmp_path, design=PocketDesign(items=5000))

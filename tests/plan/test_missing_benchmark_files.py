"""Everything that a study's benchmarks lack is told at once."""

from pathlib import Path

import pytest

from sftlab.errors import BenchmarkError, StudyError
from sftlab.plan.resolve import resolve
from sftlab.pocket.files import PocketDesign, write_pocket_study
from sftlab.store import Store
from sftlab.study.declaration import BenchmarkRef, Study
from sftlab.study.reading import load_study


def asked(folder: Path, *benchmarks: dict[str, object], **fields: object) -> Study:
    design = PocketDesign(bases=("llama-facts",), datasets=("facts",), samples=16, items=4)
    study = load_study(write_pocket_study(folder, design=design))
    (folder / "local").mkdir()
    changes = {
        "benchmarks_dir": str(folder / "local"),
        "benchmarks": tuple(BenchmarkRef.model_validate(one) for one in benchmarks),
        **fields,
    }
    return study.model_copy(update={"evaluation": study.evaluation.model_copy(update=changes)})


def test_missing_items_shots_and_references_are_one_message(tmp_path: Path) -> None:
    study = asked(
        tmp_path,
        {"name": "gsm8k"},
        {"task": "gsm8k", "name": "gsm8k5", "shots": 5},
        {"name": "mt_bench"},
        {"name": "mmlu"},
        {"name": "boolq"},
    )
    (tmp_path / "local/boolq_val.jsonl").write_text('{"passage": "p", "question": "q", "label": 0}\n')
    with pytest.raises(BenchmarkError) as caught:
        resolve(study, Store(tmp_path / "store"))
    here = tmp_path / "local"
    assert str(caught.value) == (
        f"61 files of the benchmarks do not exist: in {here} gsm8k_test.jsonl (gsm8k, gsm8k5), "
        "mt_bench_questions.jsonl (mt_bench), mt_bench_reference_gpt4.jsonl (references of mt_bench), "
        "gsm8k_train.jsonl (shots of gsm8k5); in "
        f"{here / 'mmlu/test'}, which is no folder, abstract_algebra_test.csv and 56 more (mmlu); `shots: 0` "
        "(`base_shots: 0` of the bases' own form) needs no shots, `shots_from: items` no file of them"
    )


def test_shots_of_the_bases_own_form_are_told_apart(tmp_path: Path) -> None:
    study = asked(tmp_path, {"name": "boolq"}, base_shots=2)
    with pytest.raises(
        BenchmarkError, match=r"^2 files .*boolq_val\.jsonl \(boolq\), boolq_train\.jsonl \(shots of boolq@"
    ):
        resolve(study, Store(tmp_path / "store"))


def test_one_missing_file_keeps_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(
        BenchmarkError, match=r"^benchmark 'gsm8k': the benchmark file .*gsm8k_test\.jsonl does not exist$"
    ):
        resolve(asked(tmp_path, {"name": "gsm8k"}), Store(tmp_path / "store"))


def test_paths_of_a_study_file_that_do_not_exist_are_one_message(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(
        "study: s\nbases: [{name: b, model: org/base}]\ndatasets:\n  a: {path: a.jsonl}\n  b: {path: b.jsonl}\n"
        "samples: 1\nmethods: {full: {learning_rate: 1.0e-4, batch_size: 1}}\nepochs: 1\n"
        "evaluation: {benchmarks: [{data: q.jsonl}]}\n"
    )
    with pytest.raises(StudyError) as caught:
        load_study(path)
    assert str(caught.value) == (
        f"study.yaml, line 4: datasets.a.path: there is no file {tmp_path / 'a.jsonl'}; "
        f"line 5: datasets.b.path: there is no file {tmp_path / 'b.jsonl'}; "
        f"line 9: evaluation.benchmarks.0.data: there is no file {tmp_path / 'q.jsonl'}"
    )

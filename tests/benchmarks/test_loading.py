"""Which items a benchmark has, how they are limited, and what its digest depends on."""

import csv
import shutil
import time
from pathlib import Path

import pytest
import yaml

from sftlab.benchmarks.loading import benchmark_digest, load_benchmark, shipped_benchmarks
from sftlab.benchmarks.task import dealt
from sftlab.errors import BenchmarkError
from sftlab.study.declaration import BenchmarkRef

from .witness import write_jsonl

SUBJECTS = ("anatomy", "astronomy", "virology")
TASK = {
    "task": "sums",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "data/test.jsonl", "train": "data/train.jsonl"}},
    "output_type": "generate_until",
    "test_split": "test",
    "training_split": "train",
    "doc_to_text": "{{q}}",
    "doc_to_target": "{{a}}",
}


@pytest.fixture
def mmlu(tmp_path):
    """Three subjects with 2, 4 and 1 questions."""
    for subject, count in zip(SUBJECTS, (2, 4, 1), strict=True):
        for split, rows in (("test", count), ("dev", 3)):
            path = tmp_path / "mmlu" / split / (f"{subject}_{split}.csv" if split == "test" else f"{subject}.csv")
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(
                    [f"{subject} {split} {n}?", "1", "2", "3", "4", "ABCD"[n]] for n in range(rows)
                )
    return tmp_path


@pytest.fixture
def task(tmp_path):
    write_jsonl(tmp_path / "data/test.jsonl", [{"q": f"{n} + 1?", "a": str(n + 1)} for n in range(5)])
    write_jsonl(tmp_path / "data/train.jsonl", [{"q": f"{n} + 2?", "a": str(n + 2)} for n in range(5)])
    (tmp_path / "sums.yaml").write_text(yaml.safe_dump(TASK), encoding="utf-8")
    return tmp_path


def asked_of_mmlu(folder, **fields):
    return load_benchmark(
        BenchmarkRef(name="mmlu", **{"subjects": SUBJECTS, **fields}), folder=folder, benchmarks_dir=folder
    )


def digest_of(folder, *, items=None, **fields):
    ref = BenchmarkRef(**{"name": "sums", "file": "sums.yaml", **fields})
    found = benchmark_digest(ref, folder=folder, items=items)
    assert load_benchmark(ref, folder=folder, items=items).digest == found
    return found


def test_shipped_names_each_have_a_task_file():
    from sftlab.benchmarks.shipped import TASKS

    assert {path.stem for path in Path(TASKS).glob("*.yaml")} == set(shipped_benchmarks())


def test_items_come_in_turn_from_every_subject(mmlu):
    names = [item.item for item in asked_of_mmlu(mmlu).items]
    turns = ["anatomy/0", "astronomy/0", "virology/0", "anatomy/1", "astronomy/1", "astronomy/2", "astronomy/3"]
    assert names == turns
    for limit in range(1, 9):
        assert [item.item for item in asked_of_mmlu(mmlu, items=limit).items] == turns[:limit]


def test_shots_of_a_subject_are_its_own(mmlu):
    for item in asked_of_mmlu(mmlu, shots=2).items:
        assert item.context.count(f"{item.stratum} dev") == 2
        assert item.context.count(" dev ") == 2


def test_chosen_subjects_keep_the_benchmarks_order(mmlu):
    one, other = (asked_of_mmlu(mmlu, subjects=subjects) for subjects in (SUBJECTS[:2], SUBJECTS[1::-1]))
    assert one.items == other.items
    assert one.digest == other.digest != asked_of_mmlu(mmlu).digest


def test_letters_are_the_choices_of_mmlu(mmlu):
    items = asked_of_mmlu(mmlu, scorers=("generative", "likelihood"))
    assert items.scorers == ("likelihood", "generative")
    assert items.items[3].choices == (" A", " B", " C", " D")
    assert (items.items[3].gold_choice, items.items[3].gold) == (1, (" B",))
    assert items.read(items.items[3], " B").score == 1.0


@pytest.mark.parametrize(
    ("sizes", "limit", "counts"),
    [
        ({"a": 3, "b": 1, "c": 5}, None, {"a": 3, "b": 1, "c": 5}),
        ({"a": 3, "b": 1, "c": 5}, 5, {"a": 2, "b": 1, "c": 2}),
        ({"a": 3, "b": 1, "c": 5}, 2, {"a": 1, "b": 1}),
        ({None: 7}, 4, {None: 4}),
        ({None: 7}, 40, {None: 7}),
    ],
)
def test_a_limit_is_dealt_in_turn(sizes, limit, counts):
    assert dict(dealt(sizes, limit)) == counts


@pytest.mark.parametrize(
    ("own", "given", "count"), [(None, None, 5), (None, 2, 2), (3, 2, 3), ("all", 2, 5), (9, None, 5)]
)
def test_the_benchmarks_own_limit_wins(own, given, count, task):
    ref = BenchmarkRef(name="sums", file="sums.yaml", items=own)
    assert [item.item for item in load_benchmark(ref, folder=task, items=given).items] == ["0", "1", "2", "3", "4"][
        :count
    ]


def test_fields_of_an_including_file_win(task):
    folder = task / "tasks"
    folder.mkdir()
    (folder / "two.yaml").write_text("include: ../sums.yaml\ndoc_to_text: 'Q: {{q}}'\n", encoding="utf-8")
    own = load_benchmark(BenchmarkRef(name="sums", file="two.yaml"), folder=folder)
    assert own.items[0].context == "Q: 0 + 1?"


def test_defaults_are_those_of_the_harness(task):
    own = load_benchmark(BenchmarkRef(name="sums", file="sums.yaml"), folder=task)
    assert (own.stops, own.max_new_tokens, own.delimiter) == (("\n\n",), 256, " ")
    assert own.scorers == ("likelihood", "generative")
    assert own.read(own.items[0], "1").score == 1.0
    assert own.read(own.items[0], " 1").score == 0.0
    limited = load_benchmark(BenchmarkRef(name="sums", file="sums.yaml", max_new_tokens=9), folder=task)
    assert limited.max_new_tokens == 9


def test_digest_depends_on_neither_folder_nor_name(task, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "deeper"
    shutil.copytree(task, elsewhere)
    (elsewhere / "data/test.jsonl").rename(elsewhere / "data/renamed.jsonl")
    text = (elsewhere / "sums.yaml").read_text().replace("data/test.jsonl", "data/renamed.jsonl")
    (elsewhere / "sums.yaml").write_text(f"# a remark\n{text}task_alias: Sums\n", encoding="utf-8")
    assert digest_of(task) == digest_of(elsewhere) == digest_of(elsewhere, name="other")


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("data/test.jsonl", b"3 + 1?", b"3 + 2?"),
        ("sums.yaml", b"{{q}}", b"{{q}} "),
        ("sums.yaml", b"{{a}}", b"{{q}}"),
        ("sums.yaml", b"task: sums", b"target_delimiter: ''"),
        ("sums.yaml", b"task: sums", b"generation_kwargs: {until: ['.']}"),
        ("sums.yaml", b"task: sums", b"description: Sums"),
        ("sums.yaml", b"task: sums", b"metric_list: [{metric: exact_match, ignore_case: true}]"),
    ],
)
def test_digest_changes_with_a_byte_of_data_or_definition(file, before, after, task):
    first = digest_of(task)
    content = (task / file).read_bytes()
    assert content.count(before) == 1
    (task / file).write_bytes(content.replace(before, after))
    assert digest_of(task) != first


def test_digest_changes_with_what_is_asked(task):
    asked = [
        digest_of(task),
        digest_of(task, shots=1),
        digest_of(task, items=3),
        digest_of(task, max_new_tokens=5),
        digest_of(task, scorers=("likelihood",)),
    ]
    assert len(set(asked)) == len(asked)
    assert digest_of(task, shots=0) == asked[0]


def test_the_pool_of_shots_counts_only_where_shots_are_asked(task):
    without, with_shots = digest_of(task), digest_of(task, shots=2)
    path = task / "data/train.jsonl"
    path.write_bytes(path.read_bytes().replace(b"4 + 2?", b"4 + 3?"))
    assert digest_of(task) == without
    assert digest_of(task, shots=2) != with_shots


def test_the_order_of_named_choices_counts(task):
    found = set()
    for choices in ("{no: n, yes: y}", "{yes: y, no: n}"):
        definition = f"output_type: multiple_choice\ndoc_to_choice: {choices}\ndoc_to_target: 0\n"
        (task / "choice.yaml").write_text(f"include: sums.yaml\n{definition}", encoding="utf-8")
        found.add(digest_of(task, file="choice.yaml"))
    assert len(found) == 2


def test_digest_covers_the_code_that_a_task_names(mmlu, monkeypatch):
    from sftlab.benchmarks.processing import choices

    changed = mmlu / "processing.py"
    changed.write_bytes(Path(choices.__file__).read_bytes() + b"\n")
    first = asked_of_mmlu(mmlu).digest
    monkeypatch.setattr(choices, "__file__", str(changed))
    assert asked_of_mmlu(mmlu).digest != first


def test_digest_covers_how_a_file_is_read(task):
    (task / "rows.csv").write_text("q,a\nb,c\n", encoding="utf-8")
    found = set()
    for reading in ({}, {"column_names": ["q", "a"]}, {"column_names": ["a", "q"]}, {"delimiter": ";"}):
        kwargs = {"data_files": {"test": "rows.csv"}, **reading}
        fields = {**TASK, "dataset_path": "csv", "dataset_kwargs": kwargs}
        (task / "csv.yaml").write_text(yaml.safe_dump(fields), encoding="utf-8")
        found.add(benchmark_digest(BenchmarkRef(name="csv", file="csv.yaml"), folder=task))
    assert len(found) == 4


def test_digest_of_a_shipped_benchmark_follows_its_data(mmlu):
    ref = BenchmarkRef(name="mmlu", subjects=SUBJECTS)
    first = benchmark_digest(ref, folder=Path(), benchmarks_dir=mmlu)
    assert asked_of_mmlu(mmlu).digest == first
    path = mmlu / "mmlu/test/virology_test.csv"
    path.write_bytes(path.read_bytes().replace(b"?", b"!"))
    assert benchmark_digest(ref, folder=Path(), benchmarks_dir=mmlu) != first


def test_the_given_file_digest_is_the_one_that_counts(task):
    ref = BenchmarkRef(name="sums", file="sums.yaml")
    seen = []

    def remembered(path):
        seen.append(path.name)
        return "remembered"

    assert benchmark_digest(ref, folder=task, file_digest=remembered) != benchmark_digest(ref, folder=task)
    assert seen == ["test.jsonl"]


def test_the_digest_of_a_hub_benchmark_needs_no_network():
    refs = [BenchmarkRef(name=name) for name in shipped_benchmarks() if name != "mt_bench"]
    assert len({benchmark_digest(ref, folder=Path()) for ref in refs}) == len(refs)


def test_a_hub_dataset_out_of_reach_is_one_sentence(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(BenchmarkError, match=r"'gsm8k': split 'test' of openai/gsm8k \(main\) cannot be had") as caught:
        load_benchmark(BenchmarkRef(name="gsm8k"), folder=Path())
    assert "\n" not in str(caught.value)


def test_a_hub_that_does_not_answer_costs_no_retries_and_no_lines(monkeypatch, capfd):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    start = time.monotonic()
    with pytest.raises(BenchmarkError, match=r"name a folder that holds boolq_val\.jsonl and boolq_train\.jsonl with "):
        load_benchmark(BenchmarkRef(name="boolq"), folder=Path())
    assert time.monotonic() - start < 8
    assert "Retrying" not in capfd.readouterr().err
    assert huggingface_hub.constants.HF_HUB_OFFLINE is False


def test_shared_benchmarks_load_whole(shared):
    folder = shared / "data/bench"
    counts = {
        name: len(load_benchmark(BenchmarkRef(name=name), folder=folder, benchmarks_dir=folder).items)
        for name in ("boolq", "gsm8k", "gsm8k_flexible", "mmlu")
    }
    assert counts == {"boolq": 3270, "gsm8k": 1319, "gsm8k_flexible": 1319, "mmlu": 14042}


def test_shipped_benchmark_goes_by_another_name_with_other_shots():
    again = BenchmarkRef.model_validate({"task": "gsm8k", "name": "gsm8k-5", "shots": 5})
    same = BenchmarkRef.model_validate({"task": "gsm8k", "name": "other"})
    assert BenchmarkRef.model_validate({"task": "gsm8k"}).name == "gsm8k"
    plain = benchmark_digest(BenchmarkRef(name="gsm8k"), folder=Path())
    assert benchmark_digest(same, folder=Path()) == plain
    assert benchmark_digest(again, folder=Path()) != plain

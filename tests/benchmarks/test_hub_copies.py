# ruff: noqa: RUF001 - Chinese and Japanese have full-width marks
"""Where shipped benchmarks read the hub: ids, configurations, splits and columns, against lm-evaluation-harness' own.

The hub is played by functions that answer only to what the harness' task file names, with one row in its published
columns. What a column of ours is not proved by the harness' templates is listed here, from the dataset's card.
"""

import re
import zipfile
from pathlib import Path

import jinja2
import jinja2.meta
import pytest

from sftlab.benchmarks import harness
from sftlab.benchmarks.definition import task_definition
from sftlab.benchmarks.hub_files import HubFile
from sftlab.benchmarks.loading import load_benchmark
from sftlab.benchmarks.shipped import SHIPPED, shipped_benchmarks, task_path
from sftlab.benchmarks.subjects import CMMLU_SUBJECTS, MMLU_SUBJECTS
from sftlab.benchmarks.task_yaml import read_task_yaml
from sftlab.errors import BenchmarkError
from sftlab.study.declaration import BenchmarkRef

OF_THE_HARNESS = {
    "gsm8k": "gsm8k",
    "gsm8k_flexible": "gsm8k",
    "boolq": "boolq",
    "naturalquestions": "nq_open",
    "triviaqa_open": "triviaqa",
    "truthfulqa": "truthfulqa_gen",
    "truthfulqa_mc1": "truthfulqa_mc1",
    "truthfulqa_mc2": "truthfulqa_mc2",
    "mmlu": "mmlu_anatomy",
    "cmmlu": "cmmlu_agronomy",
    "mmmlu_ja": "mmmlu_ja_jp_anatomy",
    "hellaswag": "hellaswag",
    "math": "minerva_math500",
    "humaneval": "humaneval",
    "humaneval_instruct": "humaneval_instruct",
    "mbpp": "mbpp",
    "mbpp_instruct": "mbpp_instruct",
}
NOT_IN_THE_HARNESS = {"jmmlu", "mt_bench", "alpaca_eval"}
ANY_CONFIGURATION = {"math": {None, "default"}}
"""MATH-500 has one configuration, which may be left out."""
BEYOND = {
    "triviaqa_open": {"answer.value"},
    "truthfulqa": {"best_answer"},
    "truthfulqa_mc1": {"mc2_targets.choices", "mc2_targets.labels"},
    "truthfulqa_mc2": {"mc1_targets.choices", "mc2_targets.labels"},
    "mmlu": {"subject"},
    "mmmlu_ja": {"Subject"},
    "humaneval": {"canonical_solution"},
    "humaneval_instruct": {"canonical_solution"},
}
"""Columns that the harness' templates do not read, as the datasets' cards state them."""

FOUR = {"A": "one", "B": "two", "C": "three", "D": "four"}
TARGETS = {"choices": ["True one", "False one"], "labels": [1, 0]}
ROWS = {
    "openai/gsm8k": {"question": "1 and 1?", "answer": "It is 2.\n#### 2"},
    "aps/super_glue": {"question": "is it so", "passage": "It is.", "idx": 0, "label": 1},
    "google-research-datasets/nq_open": {"question": "who is it", "answer": ["The one", "One"]},
    "mandarjoshi/trivia_qa": {
        "question": "Who?",
        "question_id": "q",
        "answer": {"value": "One", "aliases": ["1", "The One"], "normalized_aliases": ["1", "one"]},
    },
    "truthfulqa/truthful_qa": {
        "generation": {
            "type": "Adversarial",
            "category": "Myths",
            "question": "Is it?",
            "best_answer": "It is",
            "correct_answers": ["It is", "Yes"],
            "incorrect_answers": ["It is not"],
            "source": "https://example.org",
        },
        "multiple_choice": {"question": "Is it?", "mc1_targets": TARGETS, "mc2_targets": TARGETS},
    },
    "cais/mmlu": {"question": "Which?", "subject": "anatomy", "choices": list(FOUR.values()), "answer": 1},
    "openai/MMMLU": {"Unnamed: 0": 0, "Question": "問い", **FOUR, "Answer": "B", "Subject": "anatomy"},
    "Rowan/hellaswag": {
        "ind": 4,
        "activity_label": "Cooking",
        "ctx_a": "A cook has eggs.",
        "ctx_b": "he",
        "ctx": "A cook has eggs. he",
        "endings": ["sings.", "breaks one.", "sleeps.", "runs."],
        "source_id": "activitynet~v_x",
        "split": "val",
        "split_type": "indomain",
        "label": "1",
    },
    "HuggingFaceH4/MATH-500": {
        "problem": "What is $1+1$?",
        "solution": "It is $\\boxed{2}$.",
        "answer": "2",
        "subject": "Algebra",
        "level": 1,
        "unique_id": "test/algebra/1.json",
    },
    "openai/openai_humaneval": {
        "task_id": "HumanEval/0",
        "prompt": "def one():\n",
        "canonical_solution": "    return 1\n",
        "test": "def check(candidate):\n    assert candidate() == 1\n",
        "entry_point": "one",
    },
    "google-research-datasets/mbpp": {
        "task_id": 11,
        "text": "Write one.",
        "code": "def one():\n    return 1",
        "test_list": ["assert one() == 1", "assert one() < 2", "assert one() > 0"],
        "test_setup_code": "",
        "challenge_test_list": [],
    },
}


def harness_fields(name):
    (yaml,) = harness.harness_tasks(name).values()
    return yaml


def eval_split(fields):
    return fields.get("test_split") or fields.get("validation_split")


def columns_of_the_harness(name):
    """Top-level columns (and `column.key`) that a task file's templates or its `process_docs` name."""
    yaml = harness_fields(name)
    named = set()
    for field in ("doc_to_text", "doc_to_target", "doc_to_choice"):
        template = yaml.fields.get(field)
        if not isinstance(template, str):
            continue
        if template.isidentifier():
            named.add(template)
        named |= jinja2.meta.find_undeclared_variables(jinja2.Environment().parse(template))
        named |= set(re.findall(r"\b[a-z]\w*\.[a-z]\w*\b", template))
    if "process_docs" in yaml.fields or "process_results" in yaml.fields:
        named |= set(re.findall(r"""doc\[["'](\w+)["']\]""", (yaml.path.parent / "utils.py").read_text()))
    return named


def played_hub(monkeypatch, rows_of):
    """The hub, with the rows of each (id, configuration, split)."""

    def load_dataset(path, name=None, *, split, revision):
        assert revision is None
        if (path, name, split) not in rows_of:
            raise ValueError(f"no {path} {name} {split}")
        return rows_of[path, name, split]

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    monkeypatch.setattr("sftlab.benchmarks.sources.hub_answers", bool)


def published_row(definition):
    row = ROWS[definition.dataset_path]
    return row.get(definition.dataset_name, row)


def definition_of(name):
    return task_definition(read_task_yaml(task_path(name)))[0]


def test_every_shipped_benchmark_is_compared_or_known_to_be_beyond_the_harness():
    assert OF_THE_HARNESS.keys() | NOT_IN_THE_HARNESS == set(shipped_benchmarks())
    assert not any(harness.is_in_harness(name) for name in NOT_IN_THE_HARNESS)


@pytest.mark.parametrize("name", OF_THE_HARNESS)
def test_hub_id_configuration_and_splits_are_those_of_the_harness(name):
    ours, theirs = definition_of(name), harness_fields(OF_THE_HARNESS[name]).fields
    assert ours.dataset_path == theirs["dataset_path"]
    assert ours.eval_split == eval_split(theirs)
    if not SHIPPED[name].subjects:
        assert ours.dataset_name in ANY_CONFIGURATION.get(name, {theirs.get("dataset_name")})
    shots = [fields for fields in (theirs.get("fewshot_split"), theirs.get("training_split")) if fields]
    if shots and ours.shot_split not in {None, ours.eval_split}:
        assert ours.shot_split == shots[0]


@pytest.mark.parametrize(
    ("group", "prefix", "subjects"), [("mmlu", "mmlu_", MMLU_SUBJECTS), ("cmmlu", "cmmlu_", tuple(CMMLU_SUBJECTS))]
)
def test_subjects_are_the_configurations_of_the_harness(group, prefix, subjects):
    tasks = harness._index().tasks
    place = tasks[OF_THE_HARNESS[group]].rpartition("/")[0]
    files = [path for task, path in tasks.items() if task.startswith(prefix) and path.rpartition("/")[0] == place]
    fields = [read_task_yaml(harness._index().folder / path).fields for path in files]
    assert {one["dataset_name"] for one in fields} == set(subjects)
    if group == "cmmlu":
        named = {one["dataset_name"]: one["description"] for one in fields}
        ours = definition_of("cmmlu").description
        rendered = {name: ours.replace("{{subject_name}}", chinese) for name, chinese in CMMLU_SUBJECTS.items()}
        assert rendered == named


@pytest.mark.parametrize("name", [name for name in OF_THE_HARNESS if name != "cmmlu"])
def test_columns_of_the_hub_that_are_read_are_there(name, monkeypatch, tmp_path):
    theirs = harness_fields(OF_THE_HARNESS[name]).fields
    definition = definition_of(name)
    subject = "anatomy" if SHIPPED[name].subjects else None
    configuration = subject or (definition.dataset_name if name in ANY_CONFIGURATION else theirs.get("dataset_name"))
    place = (theirs["dataset_path"], configuration, eval_split(theirs))
    ref = BenchmarkRef(name=name, shots=0, subjects=subject and (subject,))
    row = published_row(definition)

    def items(read):
        played_hub(monkeypatch, {place: [read]})
        try:
            return load_benchmark(ref, folder=tmp_path).items
        except BenchmarkError:
            return None

    whole = items(row)
    assert whole is not None
    assert len(whole) == 1
    needed = {column for column in row if items({key: row[key] for key in row.keys() - {column}}) != whole}
    for column in [column for column in needed if isinstance(row[column], dict)]:
        inner = row[column]
        without = {key: {**row, column: {k: inner[k] for k in inner.keys() - {key}}} for key in inner}
        needed |= {f"{column}.{key}" for key in inner if items(without[key]) != whole}
        needed -= {column}
    assert needed
    assert needed - columns_of_the_harness(OF_THE_HARNESS[name]) == BEYOND.get(name, set())


def archive(path, members):
    with zipfile.ZipFile(path, "w") as opened:
        for place, text in members.items():
            opened.writestr(place, text)
    return path


def played_file(monkeypatch, hub_id, name, path):
    def hf_hub_download(asked, file, *, repo_type, revision):
        assert (asked, file, repo_type, revision) == (hub_id, name, "dataset", None)
        return str(path)

    HubFile.fetched.cache_clear()
    monkeypatch.setattr("huggingface_hub.hf_hub_download", hf_hub_download)
    monkeypatch.setattr("sftlab.benchmarks.sources.hub_answers", bool)


def test_cmmlu_is_read_out_of_the_archive_of_the_hub(monkeypatch, tmp_path):
    head = ",Question,A,B,C,D,Answer\n"
    members = {
        f"{split}/agronomy.csv": head + f'0,"{split}, 问",一,二,三,四,C\n1,{split}又,一,二,三,四,A\n'
        for split in ("dev", "test")
    }
    played_file(monkeypatch, "haonan-li/cmmlu", "cmmlu_v1_0_1.zip", archive(tmp_path / "cmmlu_v1_0_1.zip", members))
    ref = BenchmarkRef(name="cmmlu", subjects=("agronomy",), shots=1)
    first, second = load_benchmark(ref, folder=tmp_path).items
    asked = "{}\nA. 一\nB. 二\nC. 三\nD. 四\n答案："
    description = "以下是关于农学的单项选择题，请直接给出正确答案的选项。\n\n"
    assert first.context == f"{description}{asked.format('dev, 问')} C\n\n{asked.format('test, 问')}"
    assert (first.item, first.gold_choice, second.gold_choice) == ("agronomy/0", 2, 0)
    for place, text in members.items():
        (tmp_path / "local/cmmlu" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "local/cmmlu" / place).write_text(text, encoding="utf-8")
    assert load_benchmark(ref, folder=tmp_path, benchmarks_dir=Path("local")).items == (first, second)


def test_jmmlu_is_read_out_of_the_archive_of_the_hub(monkeypatch, tmp_path):
    table = "\ufeffquestion,A,B,C,D,answer\n問い,あ,い,う,え,D\n"
    path = archive(tmp_path / "JMMLU.zip", {"JMMLU/test/anatomy.csv": table, "__MACOSX/JMMLU/test/._anatomy.csv": ""})
    played_file(monkeypatch, "nlp-waseda/JMMLU", "JMMLU.zip", path)
    (item,) = load_benchmark(BenchmarkRef(name="jmmlu", subjects=("anatomy",)), folder=tmp_path).items
    assert item.context.endswith("\n\n問い\nA. あ\nB. い\nC. う\nD. え\n答え：")
    assert (item.item, item.gold_choice) == ("anatomy/0", 3)


def test_an_archive_without_the_subject_is_one_sentence(monkeypatch, tmp_path):
    path = archive(tmp_path / "JMMLU.zip", {"JMMLU/test/virology.csv": "question,A,B,C,D,answer\n"})
    played_file(monkeypatch, "nlp-waseda/JMMLU", "JMMLU.zip", path)
    with pytest.raises(BenchmarkError, match=r"'jmmlu': JMMLU.zip of nlp-waseda/JMMLU holds no JMMLU/test/anatomy.csv"):
        load_benchmark(BenchmarkRef(name="jmmlu", subjects=("anatomy",)), folder=tmp_path)


def test_alpaca_eval_is_read_from_its_baseline_file(monkeypatch, tmp_path):
    path = tmp_path / "alpaca_eval_gpt4_baseline.json"
    path.write_text('[{"instruction": "Do.", "output": "Done.", "generator": "gpt4_1106_preview", "dataset": "koala"}]')
    played_file(monkeypatch, "tatsu-lab/alpaca_eval", path.name, path)
    (item,) = load_benchmark(BenchmarkRef(name="alpaca_eval"), folder=tmp_path).items
    assert (item.context, item.gold) == ("Do.", ("Done.",))


def test_mt_bench_is_not_read_from_the_hub(tmp_path):
    with pytest.raises(BenchmarkError, match=r"no dataset of the hub has its reference answers, so name a folder that"):
        load_benchmark(BenchmarkRef(name="mt_bench"), folder=tmp_path)

"""Prompts, choices and gold answers are those of lm-evaluation-harness for the same task on the same data."""

from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from sftlab.benchmarks.loading import load_benchmark
from sftlab.study.declaration import BenchmarkRef

from .witness import load_task, requests_of, write_jsonl

WORDS = ("ducks", "robes", "houses", "eggs", "sprints", "cups", "glasses", "sheep", "downloads", "dollars", "miles")


def sums(start, count):
    return [
        {
            "question": f"  Ann has {n} {WORDS[n % 11]}, Bob {n * 3}. How many?"
            + (" \u00e9\u4e2d" if n % 4 == 0 else ""),
            "answer": f"{n} + {n * 3} = <<{n}+{n * 3}={n * 4}>>{n * 4}\n#### {n * 4}",
            "aliases": [str(n * 4), f"{n * 4}.0"],
            "choices": [f"{n} in all", f"{n * 4} in all", f"{n * 3} in all", "None"],
            "label": 1,
            "subject": "high_school_sums",
            "hint": "Well,",
        }
        for n in range(start, start + count)
    ]


@pytest.fixture
def data(tmp_path):
    return {
        "train": write_jsonl(tmp_path / "train.jsonl", sums(100, 30)),
        "dev": write_jsonl(tmp_path / "dev.jsonl", sums(300, 5)),
        "test": write_jsonl(tmp_path / "test.jsonl", [*sums(500, 12), *sums(500, 3)]),
    }


GENERATED = {
    "output_type": "generate_until",
    "test_split": "test",
    "training_split": "train",
    "doc_to_text": "Question: {{question}}\nAnswer:",
    "doc_to_target": "{{answer}}",
    "generation_kwargs": {"until": ["Question:", "</s>"], "do_sample": False, "max_gen_toks": 77},
}
LETTERED = {
    "output_type": "multiple_choice",
    "test_split": "test",
    "fewshot_split": "dev",
    "fewshot_config": {"sampler": "first_n"},
    "description": "Questions about {{subject.replace('_', ' ')}}.\n\n",
    "doc_to_text": "{{question.strip()}}\nA. {{choices[0]}}\nB. {{choices[1]}}\nC. {{choices[2]}}\nAnswer:",
    "doc_to_choice": ["A", "B", "C"],
    "doc_to_target": "label",
}
YES_NO = {
    "output_type": "multiple_choice",
    "training_split": "train",
    "validation_split": "test",
    "doc_to_text": "{{answer}}\nQuestion: {{question}}?\nAnswer:",
    "doc_to_target": "{{label}}",
    "doc_to_choice": {"wrong": "no", "right": "yes"},
}
CHOICES_IN_A_COLUMN = {
    **LETTERED,
    "doc_to_text": "question",
    "doc_to_choice": "choices",
    "doc_to_target": "{{choices[1]}}",
    "target_delimiter": " -> ",
    "fewshot_delimiter": "\n***\n",
    "description": "subject",
}
CHOICES_BY_TEMPLATE = {
    **YES_NO,
    "doc_to_choice": "{{choices}}",
    "doc_to_text": "{{question|regex_replace('Bob', 'Eve')}}\n",
}
SHOTS_OF_THEIR_OWN = {
    **GENERATED,
    "fewshot_config": {
        "doc_to_text": "Q: {{question}}",
        "doc_to_target": "{{label}}",
        "target_delimiter": "\n",
        "fewshot_delimiter": "\n--\n",
    },
}
SAMPLES = {**GENERATED, "fewshot_config": {"sampler": "first_n", "samples": sums(900, 6)}}
BEGUN = {**GENERATED, "gen_prefix": "{{hint}}"}
BEGUN_CHOICE = {**LETTERED, "gen_prefix": "So it is"}
ALIASES = {**GENERATED, "doc_to_target": "aliases"}
LISTED_BY_TEMPLATE = {**GENERATED, "doc_to_target": "{{aliases}}"}
LAST_WORD = {
    "output_type": "loglikelihood",
    "test_split": "test",
    "training_split": "train",
    "doc_to_text": "{{answer.split(' ')[:-1]|join(' ')}}",
    "doc_to_target": "{{' ' + answer.split(' ')[-1]}}",
}
LEFT_OUT = {**LETTERED, "fewshot_split": "test", "fewshot_config": {"sampler": "default"}}
LEFT_OUT_FIRST = {**LETTERED, "fewshot_split": "test"}
VALIDATION_ALONE = {**YES_NO, "training_split": None}
TASKS = {
    "generated": GENERATED,
    "lettered": LETTERED,
    "yes_no": YES_NO,
    "choices_in_a_column": CHOICES_IN_A_COLUMN,
    "choices_by_template": CHOICES_BY_TEMPLATE,
    "shots_of_their_own": SHOTS_OF_THEIR_OWN,
    "samples": SAMPLES,
    "begun": BEGUN,
    "begun_choice": BEGUN_CHOICE,
    "aliases": ALIASES,
    "listed_by_template": LISTED_BY_TEMPLATE,
    "last_word": LAST_WORD,
    "left_out": LEFT_OUT,
    "left_out_first": LEFT_OUT_FIRST,
    "validation_alone": VALIDATION_ALONE,
}


def asked(benchmark):
    """Requests as lm-evaluation-harness writes them: context with a continuation, or with how to generate."""
    if "generative" in benchmark.scorers:
        return [(item.context, benchmark.stops, benchmark.max_new_tokens) for item in benchmark.items]
    return [(item.context, text) for item in benchmark.items for text in item.choices or item.gold]


def as_asked(requests):
    return [
        (request[0], tuple(request[1]["until"]), request[1].get("max_gen_toks", 256))
        if isinstance(request[1], dict)
        else tuple(request)
        for request in requests
    ]


@pytest.mark.parametrize("shots", [0, 4])
@pytest.mark.parametrize("task", TASKS)
def test_prompts_equal_the_harness(task, shots, data, tmp_path, lm_eval_task):
    witness = lm_eval_task(TASKS[task], data, shots=shots)
    own = load_task(tmp_path, TASKS[task], data, shots=shots)
    assert asked(own) == as_asked(requests_of(witness))
    assert len(own.items) == 15


@pytest.mark.parametrize("task", ["lettered", "yes_no", "choices_in_a_column", "choices_by_template"])
def test_gold_choice_equals_the_harness(task, data, tmp_path, lm_eval_task):
    witness = lm_eval_task(TASKS[task], data, shots=0)
    own = load_task(tmp_path, TASKS[task], data)
    for item, doc in zip(own.items, witness.eval_docs, strict=True):
        certain = [(0.0 if number == item.gold_choice else -9.0, False) for number in range(len(item.choices))]
        assert witness.process_results(doc, certain)["acc"] == 1.0
        assert item.gold == (item.choices[item.gold_choice],)


def test_limited_items_have_the_prompts_of_the_limited_harness(data, tmp_path, lm_eval_task):
    witness = lm_eval_task(GENERATED, data, shots=3)
    own = load_task(tmp_path, GENERATED, data, shots=3, items=5)
    assert asked(own) == as_asked(requests_of(witness, limit=5))


def test_gold_answers_of_a_generated_task_follow_the_delimiter(data, tmp_path):
    own = load_task(tmp_path, {**ALIASES, "target_delimiter": "\n"}, data)
    assert own.items[1].gold == ("\n2004", "\n2004.0")
    assert own.delimiter == "\n"


def test_an_empty_answer_in_a_shot_has_no_delimiters(data, tmp_path, lm_eval_task):
    rows = [{**row, "answer": ""} for row in sums(100, 5)]
    data = {**data, "train": write_jsonl(tmp_path / "empty.jsonl", rows)}
    own = load_task(tmp_path, GENERATED, data, shots=2)
    assert asked(own) == as_asked(requests_of(lm_eval_task(GENERATED, data, shots=2)))


def harness_definition(path):
    import lm_eval.tasks._yaml_loader as loader

    return loader.load_yaml(files("lm_eval") / "tasks" / path, resolve_func=False)


@pytest.mark.parametrize("shots", [0, 4])
def test_shipped_gsm8k_equals_the_harness_own(shots, tmp_path, lm_eval_task):
    rows = [{"question": row["question"], "answer": row["answer"]} for row in sums(0, 40)]
    data = {
        "test": write_jsonl(tmp_path / "gsm8k_test.jsonl", rows[:10]),
        "train": write_jsonl(tmp_path / "gsm8k_train.jsonl", rows[10:]),
    }
    witness = lm_eval_task(harness_definition("gsm8k/gsm8k.yaml"), data, shots=shots)
    own = load_benchmark(BenchmarkRef(name="gsm8k", shots=shots), folder=tmp_path, benchmarks_dir=tmp_path)
    assert asked(own) == as_asked(requests_of(witness))
    assert [item.gold[0] for item in own.items] == [f" {row['answer']}" for row in rows[:10]]


@pytest.mark.parametrize("shots", [0, 4])
def test_shipped_boolq_equals_the_harness_own(shots, shared, tmp_path, lm_eval_task):
    import json

    lines = (shared / "data/bench/boolq_val.jsonl").read_text(encoding="utf-8").splitlines()[:60]
    (tmp_path / "boolq_val.jsonl").write_text("\n".join(lines[:20]), encoding="utf-8")
    (tmp_path / "boolq_train.jsonl").write_text("\n".join(lines[20:]), encoding="utf-8")
    published = []
    for row in map(json.loads, lines):
        passage, question = row["query"].split("\nQuestion: ")
        published.append({"passage": passage[9:], "question": question[:-1], "label": row["gold"]})
    data = {
        "validation": write_jsonl(tmp_path / "hub/validation.jsonl", published[:20]),
        "train": write_jsonl(tmp_path / "hub/train.jsonl", published[20:]),
    }
    witness = lm_eval_task(harness_definition("super_glue/boolq/default.yaml"), data, shots=shots)
    own = load_benchmark(BenchmarkRef(name="boolq", shots=shots), folder=tmp_path, benchmarks_dir=tmp_path)
    assert asked(own) == as_asked(requests_of(witness))


@pytest.mark.parametrize("shots", [0, 4])
@pytest.mark.parametrize("subject", ["anatomy", "high_school_us_history"])
def test_shipped_mmlu_equals_the_harness_own(subject, shots, shared, tmp_path, lm_eval_task):
    import csv

    def published(split):
        path = shared / f"data/bench/mmlu/{split}/{subject}_{split}.csv"
        with path.open(encoding="utf-8", newline="") as file:
            return [
                {"question": row[0], "choices": row[1:5], "answer": "ABCD".index(row[5]), "subject": subject}
                for row in csv.reader(file)
            ]

    data = {split: write_jsonl(tmp_path / f"{split}.jsonl", published(split)) for split in ("dev", "test")}
    definition = harness_definition(f"mmlu/default/mmlu_{subject}.yaml")
    witness = lm_eval_task(definition, data, shots=shots)
    own = load_benchmark(
        BenchmarkRef(name="mmlu", subjects=(subject,), shots=shots),
        folder=tmp_path,
        benchmarks_dir=shared / "data/bench",
    )
    assert asked(own) == as_asked(requests_of(witness))
    assert {item.stratum for item in own.items} == {subject}


def test_shipped_mmlu_knows_the_subjects_of_the_harness():
    from sftlab.benchmarks.subjects import MMLU_SUBJECTS

    folder = Path(str(files("lm_eval"))) / "tasks/mmlu/default"
    described = {
        one["dataset_name"]: one["description"]
        for one in (yaml.safe_load(path.read_text()) for path in folder.glob("mmlu_*.yaml"))
    }
    assert sorted(described) == sorted(MMLU_SUBJECTS)
    for subject, description in described.items():
        about = subject.replace("_", " ")
        assert description == f"The following are multiple choice questions (with answers) about {about}.\n\n"

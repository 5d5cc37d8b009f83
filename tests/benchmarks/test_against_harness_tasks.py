"""Tasks of lm-evaluation-harness by their name, asked and scored as its own evaluator does, on the same local rows.

One scripted model answers both: what it says of a text depends on nothing but the text.
"""

import hashlib
import json
import time
from pathlib import Path

import numpy as np
import pytest

from sftlab.benchmarks import harness
from sftlab.benchmarks.loading import benchmark_digest, load_benchmark
from sftlab.errors import BenchmarkError
from sftlab.evaluate.item_rows import generative_rows, likelihood_rows
from sftlab.evaluate.questions import Question
from sftlab.study.declaration import BenchmarkRef

NUM_ROWS = 12
LETTERS = "ABCD"


def science(index):
    texts = [f"answer {letter} of {index}" for letter in LETTERS]
    return {"id": str(index), "question": f"Why {index}?", "choices": {"text": texts, "label": list(LETTERS)}}


def truth(index):
    choices = [f"It is {index}", f"It is {index + 1} of them", "No", "It may be so, they say"]
    targets = {"choices": choices, "labels": [1, 0, 0, 0]}
    return {
        "question": f"What is {index}?",
        "mc1_targets": targets,
        "mc2_targets": {"choices": choices, "labels": [1, 0, int(index % 2), 1]},
        "best_answer": choices[0],
        "correct_answers": choices[:1] + choices[3:],
        "incorrect_answers": choices[1:3],
    }


ROWS = {
    "arc_easy": ("test", lambda index: {**science(index), "answerKey": LETTERS[index % 4]}),
    "openbookqa": ("test", lambda index: {**science(index), "question_stem": f"A {index}", "answerKey": "B"}),
    "piqa": (
        "validation",
        lambda index: {"goal": f"Do {index}", "sol1": "so", "sol2": "thus it is", "label": index % 2},
    ),
    "sciq": (
        "test",
        lambda index: {
            "question": f"Of {index}?",
            "support": " It is known. ",
            "distractor1": "air",
            "distractor2": "water ",
            "distractor3": "fire",
            "correct_answer": f"earth {index}",
        },
    ),
    "boolq": ("validation", lambda index: {"passage": f"P {index}.", "question": f"is it {index}", "label": index % 2}),
    "copa": (
        "validation",
        lambda index: {
            "premise": f"It rained {index} days.",
            "choice1": "It was wet.",
            "choice2": "The sun was out.",
            "question": ("cause", "effect")[index % 2],
            "label": index % 2,
        },
    ),
    "hellaswag": (
        "validation",
        lambda index: {
            "activity_label": "Cooking",
            "ctx_a": f"A cook has {index} eggs. [step] He heats a pan.",
            "ctx_b": "he" if index % 2 else "",
            "endings": ["breaks an egg.", "[title] sleeps  long.", "sings.", f"eats {index} pans."],
            "label": str(index % 4),
        },
    ),
    "cmmlu_agronomy": (
        "test",
        lambda index: {
            "Question": f"问{index} ",
            "A": "一",
            "B": "二",
            "C": "三",
            "D": "四",
            "Answer": LETTERS[index % 4],
        },
    ),
    "truthfulqa_mc1": ("validation", truth),
    "truthfulqa_mc2": ("validation", truth),
    "truthfulqa_gen": ("validation", truth),
    "nq_open": ("validation", lambda index: {"question": f"who is {index}", "answer": [f"the {index}", "It is"]}),
    "triviaqa": (
        "validation",
        lambda index: {"question": f"Who is {index}", "answer": {"aliases": [str(index), "A 4"]}},
    ),
    "gsm8k": ("test", lambda index: {"question": f"{index} and 1?", "answer": f"It is.\n#### {index}"}),
}
GENERATIVE = {"truthfulqa_gen", "nq_open", "triviaqa", "gsm8k"}
SHOTS = {"gsm8k": 2, "nq_open": 3, "arc_easy": 1, "hellaswag": 2, "cmmlu_agronomy": 2}
SHOT_SPLITS = {"gsm8k": "train", "nq_open": "train", "arc_easy": "train", "hellaswag": "train", "cmmlu_agronomy": "dev"}


def log_likelihood(context, continuation):
    number = int(hashlib.sha256(f"{context}|{continuation}".encode()).hexdigest()[:8], 16)
    return -0.1 - 5.0 * number / 2**32 - 0.5 * len(continuation)


def answer_to(context):
    number = int(hashlib.sha256(context.encode()).hexdigest()[:4], 16)
    of = number % NUM_ROWS
    return (
        f" the {of}",
        f" It is {of}",
        f" so\n#### {of}",
        f" Final Answer: The final answer is ${of}/4$. I hope it is correct.",
        f" \\boxed{{\\frac{{{of}}}{{4}}}}",
        f" {of} and it may be so, they say",
    )[number % 6]


class Scripted:
    """The scripted model in lm-evaluation-harness' interface; it keeps what it was asked."""

    def __new__(cls):
        from lm_eval.api.model import LM

        class Model(LM):
            def __init__(self):
                super().__init__()
                self.asked = []

            def loglikelihood(self, requests):
                self.asked += [request.args for request in requests]
                return [(log_likelihood(*request.args), False) for request in requests]

            def generate_until(self, requests):
                self.asked += [request.args for request in requests]
                return [answer_to(request.args[0]) for request in requests]

            def loglikelihood_rolling(self, requests):
                raise NotImplementedError

        return Model()


def write_rows(folder, name):
    split, row = ROWS[name]
    (folder / name).mkdir(exist_ok=True)
    splits = {split: range(4 if name == "truthfulqa_gen" else NUM_ROWS)} | (
        {SHOT_SPLITS[name]: range(100, 106)} if name in SHOTS else {}
    )
    for one, indices in splits.items():
        lines = "".join(json.dumps(row(index)) + "\n" for index in indices)
        (folder / name / f"{one}.jsonl").write_text(lines, encoding="utf-8")
    return {one: str(folder / name / f"{one}.jsonl") for one in splits}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rows")


def witness_of(name, files, cache, shots):
    """Requests and metrics of lm-evaluation-harness' own evaluator."""
    import datasets
    from lm_eval import evaluate
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    datasets.disable_progress_bars()
    config = load_yaml(harness._index().files_of(name)[name])
    config |= {"dataset_path": "json", "dataset_kwargs": {"data_files": files, "cache_dir": str(cache)}}
    config |= {"num_fewshot": shots}
    for absent in ("dataset_name", "tag", "group", "use_prompt"):
        config.pop(absent, None)
    for split in ("training_split", "validation_split", "test_split"):
        if config.get(split) not in files:
            config[split] = None
    task = ConfigurableTask(config=config)
    task.set_fewshot_seed(1234)
    model = Scripted()
    found = evaluate(lm=model, task_dict={name: task}, bootstrap_iters=0, verbosity="ERROR")
    return model.asked, found["results"][name]


def scores_of(benchmark):
    """Mean scores by metric and filter of the scripted model, through the rows of the table `items`."""
    rows = []
    for item in benchmark.items:
        if benchmark.scorers == ("generative",):
            text = answer_to(item.context)
            rows += generative_rows(item, benchmark.read(item, text), text)
            continue
        answers = tuple(choice.removeprefix(benchmark.delimiter) for choice in item.choices)
        question = Question(item, (), answers, np.array([0]))
        values_C = np.array([log_likelihood(item.context, choice) for choice in item.choices])
        rows += likelihood_rows(question, values_C, benchmark.choice_metrics)
    metrics = {row["metric"] for row in rows}
    return {metric: np.mean([row["score"] for row in rows if row["metric"] == metric]) for metric in metrics}


@pytest.mark.parametrize("name", ROWS)
def test_a_task_of_the_harness_by_name_is_asked_and_scored_as_there(name, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("sftlab.benchmarks.loading.SHIPPED", {})
    files = write_rows(folder, name)
    shots = SHOTS.get(name, 0)
    asked, results = witness_of(name, files, tmp_path, shots)
    scorer = "generative" if name in GENERATIVE else "likelihood"
    ref = BenchmarkRef(name="own", task=name, shots=shots, scorers=(scorer,))
    benchmark = load_benchmark(ref, folder=folder, benchmarks_dir=folder)
    if scorer == "generative":
        assert [item.context for item in benchmark.items] == [context for context, _ in asked]
        assert set(benchmark.stops) <= set(asked[0][1]["until"])
    else:
        ours = [(item.context, choice) for item in benchmark.items for choice in item.choices]
        assert sorted(ours) == sorted(asked)
    scores = scores_of(benchmark)
    compared = 0
    for key, value in results.items():
        metric, _, filtered = key.partition(",")
        if not filtered or "stderr" in metric or metric in {"alias", "sample_len"}:
            continue
        known = {"acc": "acc" if "acc" in scores else "accuracy", "acc_bytes": "accuracy_per_byte"}.get(metric, metric)
        ours = (
            scores.get(f"{known}:{filtered}", scores.get(known))
            if filtered == "flexible-extract"
            else scores.get(known)
        )
        if ours is not None:
            assert ours == pytest.approx(value, abs=1e-9), key
            compared += 1
    assert compared > 0


def test_a_group_of_the_harness_is_one_benchmark_of_its_tasks(folder):
    for task in ("arc_easy", "arc_challenge"):
        (folder / task).mkdir(exist_ok=True)
        lines = "".join(json.dumps(ROWS["arc_easy"][1](index)) + "\n" for index in range(3))
        (folder / task / "test.jsonl").write_text(lines, encoding="utf-8")
    ref = BenchmarkRef(name="ai2_arc", items=4, scorers=("likelihood", "generative"))
    benchmark = load_benchmark(ref, folder=folder, benchmarks_dir=folder)
    assert [(item.item, item.stratum) for item in benchmark.items] == [
        ("arc_challenge/0", "arc_challenge"),
        ("arc_easy/0", "arc_easy"),
        ("arc_challenge/1", "arc_challenge"),
        ("arc_easy/1", "arc_easy"),
    ]
    assert benchmark.read(benchmark.items[0], " answer A of 0").score == 1.0
    assert benchmark.digest == benchmark_digest(ref, folder=folder, benchmarks_dir=folder)


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(BenchmarkError, match=r"neither sftlab nor .* \(did you mean 'arc_easy'\?\)"):
        load_benchmark(BenchmarkRef(name="arc_eazy"), folder=Path())


def test_without_the_harness_a_name_gets_advice(monkeypatch):
    monkeypatch.setattr(harness, "_index", lambda: None)
    with pytest.raises(BenchmarkError, match=r"pip install 'sftlab\[harness\]'"):
        load_benchmark(BenchmarkRef(name="arc_easy"), folder=Path())


def test_scores_over_all_items_at_once_are_refused():
    with pytest.raises(BenchmarkError, match="aggregation"):
        benchmark_digest(BenchmarkRef(name="ifeval"), folder=Path())


def test_the_scan_is_kept_on_disk(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    harness._index.cache_clear()
    first = harness._index()
    (kept,) = (tmp_path / "sftlab").iterdir()
    harness._index.cache_clear()
    start = time.monotonic()
    assert harness._index() == first
    assert time.monotonic() - start < 1.0
    assert kept.is_file()
    assert first.tasks["arc_easy"].startswith("arc/")
    assert set(first.files_of("truthfulqa")) == {"truthfulqa_gen", "truthfulqa_mc1", "truthfulqa_mc2"}
    harness._index.cache_clear()

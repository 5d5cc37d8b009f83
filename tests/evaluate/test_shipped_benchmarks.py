"""Every benchmark that comes with sftlab: its published file under a tiny model, made rows under a scripted one."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from sftlab.benchmarks.loading import load_benchmark
from sftlab.evaluate.engines.engine import EngineAbout, LikelihoodAnswers, TextAnswers
from sftlab.evaluate.scoring import ScoreOptions, score_benchmark, score_with
from sftlab.lm.base import LoadedBase, load_base
from sftlab.study.declaration import BaseRef, BenchmarkRef, Precision

CHOICES = {"accuracy", "accuracy_per_byte", "bits_per_byte"}
GENERATIVE = {
    "math": {"bits_per_byte", "math_equal", "exact_answer"},
    "gsm8k": {
        "bits_per_byte",
        "exact_match",
        "math_equal",
        "exact_match:flexible-extract",
        "math_equal:flexible-extract",
    },
    "naturalquestions": {"bits_per_byte", "squad_exact_match", "squad_f1", "exact_match"},
    "truthfulqa": {"bits_per_byte", "bleu_acc", "bleu_max", "bleu_diff"},
    "humaneval": {"bits_per_byte", "pass@1"},
    "mbpp": {"bits_per_byte", "pass@1"},
}
METRICS = {
    **GENERATIVE,
    **dict.fromkeys(("boolq", "truthfulqa_mc1", "mmlu", "cmmlu", "jmmlu"), CHOICES),
    "truthfulqa_mc2": {"mc2", "bits_per_byte"},
}


@pytest.fixture(scope="module")
def stories(shared) -> LoadedBase:
    ref = BaseRef(name="stories", model=str(shared / "weights/stories260K"))
    return load_base(ref, device="cpu", precision=Precision())


@pytest.mark.parametrize("name", METRICS)
def test_a_tiny_model_is_scored_on_every_shipped_benchmark(name, stories, shared):
    subjects = ("anatomy",) if name in {"mmlu", "cmmlu", "jmmlu"} else None
    ref = BenchmarkRef(name=name, items=4, max_new_tokens=8, shots=0, subjects=subjects)
    folder = shared / "data/bench"
    benchmark = load_benchmark(ref, folder=folder, benchmarks_dir=folder)
    scored = score_benchmark(stories, benchmark, options=ScoreOptions("plain", max_batch_tokens=2048))
    rows = scored.rows["items"]
    assert scored.result["status"] == "done"
    assert set(rows["metric"]) == METRICS[name]
    assert rows.height == 4 * len(METRICS[name])
    done = rows.filter(rows["status"] == "done")
    assert done["score"].is_finite().all()
    assert done.height >= 2 * len(METRICS[name])


@dataclass
class Scripted:
    """A model that says what the test wrote down: answers in turn, and a log-likelihood for each choice in turn."""

    model: LoadedBase
    answers: tuple[str, ...] = ()
    log_likelihood: tuple[float, ...] = ()
    about = EngineAbout("scripted", "1", "exact")

    def log_likelihoods(self, requests, **_) -> LikelihoodAnswers:
        return LikelihoodAnswers(np.resize(np.array(self.log_likelihood), len(requests)))

    def generate(self, prompts, **_) -> TextAnswers:
        return TextAnswers(self.answers[: len(prompts)])


def means(engine: Any, folder, **asked) -> dict[str, float]:
    benchmark = load_benchmark(BenchmarkRef(**asked), folder=folder, benchmarks_dir=folder)
    scored = score_with(engine, benchmark, template="plain")
    rows = scored.rows["items"]
    return {str(metric): part["score"].mean() for (metric,), part in rows.group_by("metric")} | {
        "unparsed": scored.result["unparsed"].get("generative")
    }


def test_scripted_answers_to_sums_score_as_counted_by_hand(stories, tmp_path):
    rows = [{"question": f"{n} + {n}?", "answer": f"It is {2 * n}.\n#### {2 * n}"} for n in range(1, 5)]
    (tmp_path / "gsm8k_test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    said = (" two\n#### 2", "#### 4.0", "It is 6", "#### 9")
    assert means(Scripted(stories, said), tmp_path, name="gsm8k", scorers=("generative",)) == {
        "exact_match": 1 / 4,
        "math_equal": 2 / 4,
        "exact_match:flexible-extract": 2 / 4,
        "math_equal:flexible-extract": 3 / 4,
        "unparsed": 1,
    }


def test_scripted_log_likelihoods_of_choices_score_as_counted_by_hand(stories, tmp_path):
    rows = [{"query": f"Passage: P.\nQuestion: is it {n}?", "choices": ["no", "yes"], "gold": n % 2} for n in range(4)]
    (tmp_path / "boolq_val.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    engine = Scripted(stories, log_likelihood=(-1.0, -1.4, -2.0, -1.0))
    found = means(engine, tmp_path, name="boolq")
    assert found["accuracy"] == 4 / 4
    assert found["accuracy_per_byte"] == 2 / 4
    always_no = means(Scripted(stories, log_likelihood=(-1.0, -9.0)), tmp_path, name="boolq")
    assert always_no["accuracy"] == 2 / 4


def test_scripted_aliases_score_as_counted_by_hand(stories, tmp_path):
    rows = [{"question": f"who is {n}", "answer": [f"The Person {n}", f"Mr. {n}"]} for n in range(4)]
    (tmp_path / "nq_open_dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    said = (" person 0.", " Mr 1", " person", "")
    found = means(Scripted(stories, said), tmp_path, name="naturalquestions", scorers=("generative",))
    assert found["squad_exact_match"] == 2 / 4
    assert found["squad_f1"] == pytest.approx((1 + 1 + 2 / 3 + 0) / 4)
    assert found["unparsed"] == 1


def test_scripted_programs_score_as_counted_by_hand(stories, tmp_path):
    rows = [
        {
            "task_id": f"HumanEval/{n}",
            "prompt": f'def plus(x):\n    """Add {n}."""\n',
            "entry_point": "plus",
            "canonical_solution": f"    return x + {n}\n",
            "test": f"def check(candidate):\n    assert candidate(1) == {1 + n}\n",
        }
        for n in range(5)
    ]
    (tmp_path / "HumanEval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    said = ("    return x", "```python\ndef plus(x):\n    return x + 1\n```", "    return x", "    exit(0)", " ")
    found = means(Scripted(stories, said), tmp_path, name="humaneval", scorers=("generative",))
    assert found == {"pass@1": 2 / 5, "unparsed": 1}

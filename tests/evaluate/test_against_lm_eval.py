"""lm-evaluation-harness as the witness: the same items and model give the same log-likelihoods, choices and answers."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from sftlab.benchmarks.loading import load_benchmark
from sftlab.evaluate.scoring import ScoreOptions, score_benchmark
from sftlab.lm.base import LoadedBase, load_base
from sftlab.study.declaration import BaseRef, BenchmarkRef, Precision

WEIGHTS = ("stories260K", "llama2xs_279K", "babyllama_tok361")
TASK: dict[str, Any] = {
    "task": "local",
    "dataset_path": "json",
    "test_split": "test",
    "fewshot_split": "train",
    "fewshot_config": {"sampler": "first_n"},
    "doc_to_text": "Question: {{question}}\nAnswer:",
    "num_fewshot": 2,
}
CHOICES = {
    **TASK,
    "output_type": "multiple_choice",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{gold}}",
    "metric_list": [{"metric": metric} for metric in ("acc", "acc_norm", "acc_bytes")],
}
FREE = {
    **TASK,
    "output_type": "generate_until",
    "doc_to_target": "{{answer}}",
    "generation_kwargs": {"until": ["\n", "."], "max_gen_toks": 12, "do_sample": False},
    "filter_list": [
        {
            "name": "word",
            "filter": [{"function": "regex", "regex_pattern": "([a-z]{3,})"}, {"function": "take_first"}],
        }
    ],
    "metric_list": [{"metric": "exact_match", "ignore_case": True}],
}


@pytest.fixture(scope="module", params=WEIGHTS)
def pretrained(request, shared) -> LoadedBase:
    ref = BaseRef(name=request.param, model=str(shared / "weights" / request.param))
    return load_base(ref, device="cpu", precision=Precision())


@pytest.fixture(scope="module")
def harness_model(pretrained) -> Any:
    from lm_eval.models.huggingface import HFLM

    length = pretrained.context_length
    return HFLM(pretrained=pretrained.model, tokenizer=pretrained.tokenizer, batch_size=4, max_length=length)


def rows_of(shared: Path, count: int) -> list[dict[str, Any]]:
    """Short reading questions of BoolQ with three choices of different lengths, one of them right."""
    with (shared / "data" / "bench" / "boolq_val.jsonl").open() as file:
        raw = [json.loads(line) for line in file]
    rows = []
    for one in sorted(raw, key=lambda row: len(row["query"]))[:count]:
        choices = ["no", "yes", "nobody knows that"]
        rows.append(
            {"question": one["query"][-36:], "choices": choices, "gold": one["gold"], "answer": choices[one["gold"]]}
        )
    return rows


def their_samples(definition: dict[str, Any], data: dict[str, str], model: Any) -> list[dict[str, Any]]:
    import datasets
    from lm_eval import evaluate
    from lm_eval.api.task import ConfigurableTask

    datasets.disable_progress_bars()
    cache = str(Path(data["test"]).parent / "cache")
    task = ConfigurableTask(config={**definition, "dataset_kwargs": {"data_files": data, "cache_dir": cache}})
    task.set_fewshot_seed(1234)
    out = evaluate(lm=model, task_dict={"local": task}, log_samples=True, bootstrap_iters=0)
    assert out is not None
    return sorted(out["samples"]["local"], key=lambda sample: sample["doc_id"])


@pytest.mark.parametrize("definition", [CHOICES, FREE], ids=["choices", "free"])
def test_a_task_file_scores_as_in_lm_evaluation_harness(definition, pretrained, harness_model, shared, tmp_path):
    rows = rows_of(shared, 40)
    data = {}
    for split, part in (("train", rows[:5]), ("test", rows[5:])):
        data[split] = str(tmp_path / f"{split}.jsonl")
        Path(data[split]).write_text("".join(json.dumps(row) + "\n" for row in part))
    named = {split: os.path.basename(path) for split, path in data.items()}
    (tmp_path / "local.yaml").write_text(yaml.safe_dump({**definition, "dataset_kwargs": {"data_files": named}}))
    benchmark = load_benchmark(BenchmarkRef(name="local", file="local.yaml"), folder=tmp_path)
    frame = score_benchmark(pretrained, benchmark, options=ScoreOptions("plain", 3000)).rows["items"]
    assert frame.filter(pl.col("status") == "unfit").is_empty()
    theirs = their_samples(definition, data, harness_model)
    if definition is CHOICES:
        same_choices(frame, theirs)
    else:
        same_answers(frame, theirs)


def same_choices(frame: pl.DataFrame, theirs: list[dict[str, Any]]) -> None:
    for ours, name in (("accuracy", "acc"), ("accuracy_per_byte", "acc_bytes"), ("accuracy_per_byte", "acc_norm")):
        scores = frame.filter(pl.col("metric") == ours)["score"].to_list()
        assert scores == [sample[name] for sample in theirs]
    gold = frame.filter(pl.col("metric") == "accuracy")["log_likelihood"].to_numpy()
    expected = [float(sample["filtered_resps"][int(sample["target"])][0]) for sample in theirs]
    np.testing.assert_allclose(gold, expected, rtol=0, atol=1e-4)
    assert len(set(expected)) > 20


def same_answers(frame: pl.DataFrame, theirs: list[dict[str, Any]]) -> None:
    read = frame.filter(pl.col("scorer") == "generative")
    assert read["score"].to_list() == [sample["exact_match"] for sample in theirs]
    answers = [sample["filtered_resps"][0] for sample in theirs]
    assert read["answer"].to_list() == [answer if answer != "[invalid]" else "" for answer in answers]
    assert len(set(answers)) >= 3


def fitting(base: LoadedBase, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [
        (context, answer)
        for context, answer in pairs
        if len(base.base_tokenizer.encode_text(context + answer)) <= base.context_length
    ]


def mmlu_pairs(shared: Path) -> list[tuple[str, str]]:
    """Worked examples, one question after another, and all four letters."""
    ref = BenchmarkRef(name="mmlu", shots=1, subjects=("abstract_algebra", "astronomy"), items=16)
    benchmark = load_benchmark(ref, folder=Path.cwd(), benchmarks_dir=shared / "data" / "bench")
    return [(item.context, choice) for item in benchmark.items for choice in item.choices]


def gsm8k_pairs(shared: Path) -> list[tuple[str, str]]:
    ref = BenchmarkRef(name="gsm8k", shots=0, items=40)
    benchmark = load_benchmark(ref, folder=Path.cwd(), benchmarks_dir=shared / "data" / "bench")
    return [(item.context, item.gold[0]) for item in benchmark.items]


@pytest.mark.parametrize("pairs_of", [mmlu_pairs, gsm8k_pairs], ids=["mmlu", "gsm8k"])
def test_log_likelihoods_of_real_items_equal_lm_evaluation_harness(pairs_of, pretrained, harness_model, shared):
    from lm_eval.api.instance import Instance

    from sftlab.lm.likelihood import continuation_log_likelihoods, encode_pairs

    pairs = fitting(pretrained, pairs_of(shared))[:32]
    if len(pairs) < 4:
        pytest.skip(f"hardly anything fits the context of {pretrained.context_length}")
    instances = [
        Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=place) for place, pair in enumerate(pairs)
    ]
    theirs = harness_model.loglikelihood(instances, disable_tqdm=True)
    ours = continuation_log_likelihoods(pretrained, encode_pairs(pretrained, pairs), max_batch_tokens=2048)
    # Theirs are summed in float32, whose spacing at some thousand nats is larger than 1e-4.
    spacing = float(np.finfo(np.float32).eps)
    np.testing.assert_allclose(ours.log_likelihood, [one[0] for one in theirs], rtol=2 * spacing, atol=1e-4)
    assert ours.is_greedy.tolist() == [one[1] for one in theirs]


def test_stories_are_told_as_by_lm_evaluation_harness(pretrained, harness_model):
    from lm_eval.api.instance import Instance

    from sftlab.lm.generation import generate_greedy

    contexts = ["Once upon a time", "One day, a little girl named Lily", "The dog was", "Tom and Sam went to the park."]
    stops = ("\n", ". The")
    instances = [
        Instance(
            request_type="generate_until",
            doc={},
            arguments=(context, {"until": list(stops), "max_gen_toks": 40}),
            idx=place,
        )
        for place, context in enumerate(contexts)
    ]
    expected = harness_model.generate_until(instances, disable_tqdm=True)
    found = generate_greedy(
        pretrained,
        [pretrained.base_tokenizer.encode_text(context) for context in contexts],
        max_new_tokens=40,
        stops=stops,
        max_batch_tokens=1000,
    )
    assert found == expected
    assert min(map(len, found)) > 5

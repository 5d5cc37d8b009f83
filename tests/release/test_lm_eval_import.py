"""Logs that lm-evaluation-harness itself wrote, as a study."""

import json
import math
import shutil
from pathlib import Path

import polars as pl
import pytest
import torch
import yaml
from typer.testing import CliRunner

from sftlab.cli import app
from sftlab.errors import DataError
from sftlab.release.imports.lm_eval import lm_eval_study, short_names
from tests.evaluate.conftest import with_varied_output
from tests.lm.models import load

WORDS = ("cat", "dog", "tree", "house", "red")
TASK = {"dataset_path": "json", "test_split": "test", "doc_to_text": "{{question}}"}
CHOICES = {
    "task": "choices",
    "output_type": "multiple_choice",
    "doc_to_choice": "choices",
    "doc_to_target": "label",
    "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
}
FREE = {
    "task": "free",
    "output_type": "generate_until",
    "doc_to_target": "answer",
    "generation_kwargs": {"until": ["."], "max_gen_toks": 4},
    "filter_list": [
        {
            "name": "word",
            "filter": [{"function": "regex", "regex_pattern": "([a-z]{4,})"}, {"function": "take_first"}],
        },
        {"name": "raw", "filter": [{"function": "take_first"}]},
    ],
    "metric_list": [{"metric": "exact_match"}],
}


@pytest.fixture(scope="module")
def logs(tmp_path_factory) -> Path:
    import lm_eval
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    folder = tmp_path_factory.mktemp("harness")
    rows = [
        {
            "question": f"the {one} sees a {other}?",
            "choices": [one, other, "a tree"],
            "label": (i + j) % 3,
            "answer": one,
        }
        for i, one in enumerate(WORDS)
        for j, other in enumerate(WORDS)
        if one != other
    ]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for task in (CHOICES, FREE):
        data = {"dataset_kwargs": {"data_files": {"test": str(folder / "test.jsonl")}}}
        (folder / f"{task['task']}.yaml").write_text(yaml.safe_dump({**TASK, **task, **data}))
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    base = with_varied_output(load(folder, "llama"))
    for name in ("first", "tuned"):
        if name == "tuned":
            generator = torch.Generator().manual_seed(5)
            with torch.no_grad():
                for weight in base.model.parameters():
                    weight.add_(0.3 * weight.std() * torch.randn(weight.shape, generator=generator))
        base.model.save_pretrained(folder / name)
        base.tokenizer.save_pretrained(folder / name)
        tracker = EvaluationTracker(output_path=str(folder / "out"))
        out = lm_eval.simple_evaluate(
            model="hf",
            model_args={"pretrained": str(folder / name), "dtype": "float32"},
            device="cpu",
            batch_size=8,
            tasks=["choices", "free"],
            task_manager=manager,
            bootstrap_iters=0,
            evaluation_tracker=tracker,
        )
        samples = out.pop("samples")
        tracker.save_results_aggregated(results=out, samples=samples)
        for task, logged in samples.items():
            tracker.save_results_samples(task_name=task, samples=logged)
    assert len(list((folder / "out").rglob("results_*.json"))) == 2
    return folder / "out"


def theirs(logs: Path, name: str) -> dict[str, dict[str, float]]:
    (path,) = (path for path in logs.rglob("results_*.json") if path.parent.name.endswith(name))
    return json.loads(path.read_text())["results"]


def score(study, name: str, metric: str) -> dict:
    scores = study.tables["scores"]
    (row,) = scores.filter(pl.col("checkpoint").str.ends_with(name) & (pl.col("metric") == metric)).to_dicts()
    return row


def test_scores_are_those_of_the_log_and_gains_pair_its_items(logs):
    study = lm_eval_study(logs, base="first")
    for name in ("first", "tuned"):
        told = theirs(logs, name)
        assert score(study, name, "accuracy")["value"] == pytest.approx(told["choices"]["acc,none"])
        assert score(study, name, "accuracy_per_character")["value"] == pytest.approx(told["choices"]["acc_norm,none"])
        assert score(study, name, "exact_match")["value"] == pytest.approx(told["free"]["exact_match,word"])
        assert score(study, name, "exact_match:raw")["value"] == pytest.approx(told["free"]["exact_match,raw"])
        assert score(study, name, "accuracy")["n"] == 20
    tuned, first = score(study, "tuned", "accuracy"), score(study, "first", "accuracy")
    assert tuned["gain"] == pytest.approx(tuned["value"] - first["value"])
    assert tuned["gain_ci_low"] < tuned["gain"] < tuned["gain_ci_high"]
    assert (first["dataset"], first["epoch"], first["gain"]) == ("none", 0, None)
    assert tuned["run"] == tuned["dataset"] == tuned["checkpoint"]
    assert study.tables["runs"]["run"].to_list() == [tuned["run"]]
    assert score(study, "tuned", "exact_match")["unparsed"] > 0


def test_an_empty_answer_is_unparsed_as_in_own_scores(logs, tmp_path):
    target = tmp_path / "first"
    shutil.copytree(next(logs.glob("*first*")), target)
    (path,) = target.glob("samples_free_*.jsonl")
    samples = [json.loads(line) for line in path.read_text().splitlines()]
    for sample in [sample for sample in samples if sample["filter"] == "raw"][:3]:
        sample["filtered_resps"] = [" "]
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    known = score(lm_eval_study(logs), "first", "exact_match:raw")["unparsed"]
    assert score(lm_eval_study(tmp_path), "first", "exact_match:raw")["unparsed"] == known + 3


def test_items_carry_the_gold_answers_log_likelihood(logs):
    items = lm_eval_study(logs, base="first").tables["items"]
    (path,) = (path for path in logs.rglob("samples_choices_*") if path.parent.name.endswith("tuned"))
    sample = json.loads(path.read_text().splitlines()[3])
    gold = float(sample["filtered_resps"][int(sample["target"])][0])
    mine = items.filter(pl.col("checkpoint").str.ends_with("tuned") & (pl.col("item") == str(sample["doc_id"])))
    assert set(mine.filter(pl.col("benchmark") == "choices")["log_likelihood"]) == {gold}
    bits = mine.filter(pl.col("metric") == "bits_per_byte").to_dicts()[0]
    text = sample["doc"]["choices"][int(sample["target"])]
    assert bits["num_bytes"] == len(text.encode())
    assert bits["score"] == pytest.approx(-gold / math.log(2) / len(text))


def test_questions_and_what_was_written_are_taken_over(logs):
    study = lm_eval_study(logs, base="first")
    questions, items = study.tables["questions"], study.tables["items"]
    assert questions.select("benchmark", "item").is_duplicated().any() is False
    for path in logs.rglob("samples_*.jsonl"):
        task = path.stem.removeprefix("samples_").rpartition("_")[0]
        sample = json.loads(path.read_text().splitlines()[4])
        of_item = (pl.col("benchmark") == task) & (pl.col("item") == str(sample["doc_id"]))
        (question,) = questions.filter(of_item).to_dicts()
        assert question["prompt"] == sample["arguments"]["gen_args_0"]["arg_0"]
        chosen = task == "choices"
        gold = sample["doc"]["choices"][int(sample["target"])] if chosen else sample["target"]
        assert question["gold"] == gold
        written = items.filter(of_item & pl.col("checkpoint").str.ends_with(path.parent.name[-5:]))["written"]
        assert set(written) == ({None} if chosen else {sample["resps"][0][0]})


def test_logged_items_on_one_passage_are_a_cluster(logs, tmp_path):
    target = tmp_path / "first"
    shutil.copytree(next(logs.glob("*first*")), target)
    (path,) = target.glob("samples_choices_*.jsonl")
    samples = [json.loads(line) for line in path.read_text().splitlines()]
    for sample in samples:
        name = ("Arne", "Bruck", "Cele", "Dorn")[sample["doc_id"] % 4]
        sample["doc"]["passage"] = (
            f"{name} was built on the hill above the {name} river, by hand and in three years. " * 4
        )
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    alone, shared = (score(lm_eval_study(folder), "first", "accuracy") for folder in (logs, tmp_path))
    assert (alone["clusters"], shared["clusters"]) == (None, 4)
    assert (alone["value"], alone["n"]) == (shared["value"], shared["n"])
    assert shared["ci_high"] - shared["ci_low"] != alone["ci_high"] - alone["ci_low"]


def test_a_table_says_what_each_model_is(logs):
    names = [json.loads(path.read_text())["model_name"] for path in sorted(logs.rglob("results_*.json"))]
    base, tuned = sorted(names, key=lambda name: name.endswith("tuned"))
    models = pl.DataFrame(
        {"model": [base, tuned], "base": ["mine", "mine"], "dataset": ["none", "alpaca"], "samples": [None, 500]}
    )
    scores = lm_eval_study(logs, models=models).tables["scores"]
    assert set(zip(scores["base"], scores["dataset"], scores["samples"], strict=True)) == {
        ("mine", "none", None),
        ("mine", "alpaca", 500),
    }
    with pytest.raises(DataError, match=r"does not say what .* is"):
        lm_eval_study(logs, models=models[:1])


def test_without_samples_the_means_are_kept(logs, tmp_path):
    for path in logs.rglob("results_*.json"):
        target = tmp_path / path.parent.name
        target.mkdir()
        (target / path.name).write_bytes(path.read_bytes())
    study = lm_eval_study(tmp_path, base="first")
    row = score(study, "tuned", "accuracy")
    assert row["value"] == pytest.approx(theirs(logs, "tuned")["choices"]["acc,none"])
    assert row["n"] == 20
    assert study.tables["items"].is_empty()
    assert len([note for note in study.notes if "no logged samples" in note]) == 4


@pytest.mark.parametrize(
    ("base", "says"), [("nobody", "is none of the logged models"), ("harness", "is several of the logged models")]
)
def test_a_base_that_is_not_one_of_the_models_is_refused(logs, base, says):
    with pytest.raises(DataError, match=says):
        lm_eval_study(logs, base=base)


def test_a_folder_without_logs_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"holds no results_\*\.json"):
        lm_eval_study(tmp_path)


def test_an_import_is_read_by_the_other_verbs(logs, tmp_path):
    folder, page = tmp_path / "study", tmp_path / "report.html"
    runner = CliRunner()
    for words in (
        ["import", "lm-eval", str(logs), "--base", "first", "--to", str(folder)],
        ["table", str(folder), "scores", "--format", "json"],
        ["audit", str(folder)],
        ["analyse", str(folder)],
        ["report", str(folder), "--out", str(page)],
    ):
        done = runner.invoke(app, words)
        assert done.exit_code == 0, (words, done.exception, done.output)
    assert "choices" in page.read_text()


@pytest.mark.parametrize(
    ("logged", "called"),
    [
        (["/a/b/one", "/a/b/two/"], ["one", "two"]),
        (["/a/x/one", "/a/y/one", "/a/two"], ["x/one", "y/one", "two"]),
        (["/a/x/one", "/b/x/one"], ["a/x/one", "b/x/one"]),
        (["org/one", "./one", "gpt"], ["org/one", "one", "gpt"]),
        (["/a/x/checkpoint-10", "runs/b/x/checkpoint-20"], ["x/checkpoint-10", "x/checkpoint-20"]),
        (["/one", "one", "../one"], ["/one", "one", "../one"]),
        (["C:\\models\\one", "~/two"], ["one", "two"]),
    ],
)
def test_models_are_called_by_the_end_of_their_path(logged, called):
    assert list(short_names(logged).values()) == called


def test_names_are_short_and_the_full_path_is_kept_and_taken(logs):
    paths = {json.loads(path.read_text())["model_name"] for path in logs.rglob("results_*.json")}
    (first,) = (path for path in paths if path.endswith("/first"))
    study = lm_eval_study(logs, base=first)
    assert set(study.tables["scores"]["base"]) == {"first"}
    assert set(study.tables["scores"]["dataset"]) == {"none", "tuned"}
    assert study.origin["path of first"] == first

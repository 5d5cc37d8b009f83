"""What `lm_eval --log_samples --output_path DIR` leaves: one results file a run, one samples file a task."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from sftlab.analyse.schemas import ITEMS, QUESTIONS, from_rows
from sftlab.benchmarks.clusters import clusters
from sftlab.errors import DataError

METRICS = {"acc": "accuracy", "acc_bytes": "accuracy_per_byte", "acc_norm": "accuracy_per_character"}
"""Their names of what is called otherwise here; `acc_norm` divides by characters."""
PLAIN_FILTERS = ("none", "strict-match")
"""Filters that are not part of a metric's name here: the first reading of an answer."""
NOT_READ = "[invalid]"


@dataclass(frozen=True, eq=False)
class LoggedTask:
    """One task of one model: items and questions where samples were logged, else means with their standard errors.

    `means`: (scorer, metric) to (value, standard error or None, items or None).
    """

    model: str
    task: str
    items: pl.DataFrame
    questions: pl.DataFrame
    means: Mapping[tuple[str, str], tuple[float, float | None, int | None]]


def read_logs(folder: Path) -> list[LoggedTask]:
    """Every task of every model under a folder; of one that was run twice, the later run.

    Raises DataError where there are no results, or a file is not of this form.
    """
    files = sorted(folder.rglob("results_*.json"), key=lambda path: path.name)
    if not files:
        raise DataError(f"{folder} holds no results_*.json: name the folder that --output_path wrote to")
    found: dict[tuple[str, str], LoggedTask] = {}
    for path in files:
        for task in _tasks(path):
            found[task.model, task.task] = task
    return list(found.values())


def _tasks(path: Path) -> Iterator[LoggedTask]:
    written = path.stem.removeprefix("results_")
    try:
        log = json.loads(path.read_text())
        model = _model_name(log, path)
        for task, results in log["results"].items():
            if task not in log["configs"]:
                continue  # a group: the mean of tasks that are here themselves
            scorer = "generative" if log["configs"][task].get("output_type") == "generate_until" else "likelihood"
            samples = path.with_name(f"samples_{task}_{written}.jsonl")
            filters = [one["name"] for one in log["configs"][task].get("filter_list") or ()] or ["none"]
            logged = _samples(samples) if samples.is_file() else []
            items = _items(logged, task, scorer, filters[0])
            count = log.get("n-samples", {}).get(task, {}).get("effective")
            frame = pl.DataFrame(
                items, schema={name: ITEMS[name] for name in ITEMS if name != "checkpoint"}, orient="row"
            )
            questions = from_rows([_question(sample, task) for sample in logged], QUESTIONS).unique(maintain_order=True)
            yield LoggedTask(model, task, frame, questions, dict(_means(results, scorer, filters[0], count)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise DataError(f"{path} and its samples are not logs of lm_eval as they are known here: {error!r}") from error


def _model_name(log: Mapping[str, Any], path: Path) -> str:
    """The model's name or folder; of a model given as an object the harness knows none, and the folder is named."""
    name = log.get("model_name")
    return str(name) if isinstance(name, str) and name else path.parent.name


def _means(
    results: Mapping[str, Any], scorer: str, first: str, count: int | None
) -> Iterator[tuple[tuple[str, str], tuple[float, float | None, int | None]]]:
    for key, value in results.items():
        metric, comma, reader = key.partition(",")
        if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
            continue
        error = results.get(f"{metric}_stderr,{reader}")
        known = float(error) if isinstance(error, int | float) and math.isfinite(error) else None
        yield (scorer, _metric(metric, reader, first)), (float(value), known, count)


def _metric(metric: str, reader: str, first: str) -> str:
    name = METRICS.get(metric, metric)
    return name if reader in PLAIN_FILTERS or reader == first else f"{name}:{reader}"


def _samples(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def _items(samples: Sequence[Mapping[str, Any]], task: str, scorer: str, first: str) -> list[dict[str, object]]:
    docs = {sample["doc_id"]: sample.get("doc") for sample in samples}
    cluster_of = dict(zip(docs, clusters([doc if isinstance(doc, dict) else {} for doc in docs.values()]), strict=True))
    return [
        {**row, "benchmark": task, "cluster": cluster_of[sample["doc_id"]]}
        for sample in samples
        for row in _item_rows(sample, scorer, first)
    ]


def _question(sample: Mapping[str, Any], task: str) -> dict[str, object]:
    """What was asked, and the right answer: of choices the one that the target is the number of."""
    asked = list(sample["arguments"].values())
    target = str(sample.get("target"))
    choice = (
        asked[int(target)].get("arg_1") if len(asked) > 1 and target.isdigit() and int(target) < len(asked) else None
    )
    gold = choice.strip() if isinstance(choice, str) else target
    return {"benchmark": task, "item": str(sample["doc_id"]), "prompt": asked[0].get("arg_0"), "gold": gold}


def _item_rows(sample: Mapping[str, Any], scorer: str, first: str) -> Iterator[dict[str, object]]:
    common: dict[str, object] = {
        "item": str(sample["doc_id"]),
        "scorer": scorer,
        "status": "done",
        **(_of_answer(sample) if scorer == "generative" else _of_gold(sample)),
    }
    for metric in sample.get("metrics", ()):
        value = sample.get(metric)
        if isinstance(value, bool | int | float) and math.isfinite(value):
            yield {**common, "metric": _metric(metric, str(sample.get("filter", "none")), first), "score": float(value)}
    if scorer == "likelihood" and common.get("num_bytes"):
        likelihood, size = common["log_likelihood"], common["num_bytes"]
        assert isinstance(likelihood, float)
        assert isinstance(size, int)
        yield {**common, "metric": "bits_per_byte", "score": -likelihood / (size * math.log(2)), "answer": None}


def _of_answer(sample: Mapping[str, Any]) -> dict[str, object]:
    answer = sample["filtered_resps"][0]
    answer = answer[0] if isinstance(answer, Sequence) and not isinstance(answer, str) and answer else answer
    written = sample.get("resps", [[None]])[0][0]
    return {
        "answer": str(answer),
        "parsed": str(answer).strip() not in ("", NOT_READ),
        "written": written if isinstance(written, str) else None,
    }


def _of_gold(sample: Mapping[str, Any]) -> dict[str, object]:
    """Log-likelihood and bytes of the gold continuation, where the log says which one that is."""
    told = [float(one[0]) for one in sample["filtered_resps"]]
    texts = [one.get("arg_1") for one in sample["arguments"].values()]
    target = str(sample.get("target"))
    gold = 0 if len(told) == 1 else int(target) if target.isdigit() else -1
    if not 0 <= gold < len(told) or len(texts) < len(told) or not isinstance(texts[gold], str):
        return {}
    chosen = max(range(len(told)), key=told.__getitem__)
    size = len(texts[gold].removeprefix(" ").encode())
    answer = str(texts[chosen]).removeprefix(" ") if len(told) > 1 else None
    return {"log_likelihood": told[gold], "num_bytes": size, "answer": answer}

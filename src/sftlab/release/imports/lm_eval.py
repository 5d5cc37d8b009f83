"""Logs of lm-evaluation-harness as a study: every model that was logged, its scores and its items."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from sftlab.analyse.intervals import CONFIDENCE, Estimate
from sftlab.analyse.item_scores import READ, gain_estimate, paired_rows, score_estimate, shared_clusters, weighed
from sftlab.analyse.metrics import main_metric, metric_named
from sftlab.analyse.schemas import ITEMS, QUESTIONS, RUNS, SCORES, conformed, empty, from_rows
from sftlab.errors import DataError
from sftlab.release.imports.lm_eval_logs import LoggedTask, read_logs
from sftlab.release.imports.scores import RECIPE, UNSTATED, unknown_metrics
from sftlab.store.imported import ImportedStudy
from sftlab.study.spelling import nearest

ENGINE = "lm-evaluation-harness"
NAMES = ("model", "base", "dataset")
KNOWN = (*NAMES, "family", "epoch", *RECIPE)
CHECKPOINT = re.compile(r"checkpoint-\d+")
Row = dict[str, object]


@dataclass(frozen=True)
class LoggedModel:
    """What a logged model is: its base, what it was trained on (`none`: the base itself), and what else is known."""

    model: str
    base: str
    dataset: str
    about: Mapping[str, object]

    @property
    def columns(self) -> Row:
        """What its rows of `runs` and `scores` have in common."""
        common: Row = {"base": self.base, "family": self.base, "dataset": self.dataset, "checkpoint": self.model}
        if self.dataset == "none":
            return {**common, **{"family": self.about.get("family") or self.base}, "epoch": 0}
        known = {name: value for name, value in self.about.items() if value is not None}
        return {**common, "epoch": 1, "method": UNSTATED, **known, "run": self.model}


def lm_eval_study(
    folder: Path, *, base: str | None = None, models: pl.DataFrame | None = None, name: str = "lm-eval"
) -> ImportedStudy:
    """The tables `runs`, `scores`, `items` and `questions` of a folder of logs.

    A model that was logged by its path is called by the end of it (`short_names`); `origin` keeps the path. `base`
    names the model that all others were tuned from; `models` says of each logged model its base and dataset (`none`
    for a base itself) and what else is known of its recipe. Without either every model is a base of its own, and
    nothing has a gain. Scores are taken again from the logged items, with intervals, and gains pair them; of tasks
    without logged samples only the mean is known. Raises DataError where logs or names are not as they should be.
    """
    found = read_logs(folder)
    logged = short_names(list(dict.fromkeys(log.model for log in found)))
    logs = [replace(log, model=logged[log.model]) for log in found]
    known = _described(logged, models) if models is not None else _named(logged, base)
    scores: list[Row] = []
    for task in dict.fromkeys(log.task for log in logs):
        scores += _task_scores([log for log in logs if log.task == task], known)
    items = [log.items.with_columns(pl.lit(log.model).alias("checkpoint")) for log in logs]
    notes = [f"{log.task} of {log.model} has no logged samples: only its means" for log in logs if log.items.is_empty()]
    if base is None and models is None:
        notes.append("no model is named as the base (--base, --models): every model is one, and nothing has a gain")
    notes += unknown_metrics(sorted({str(row["metric"]) for row in scores}))
    runs = [one.columns for one in known.values() if one.dataset != "none"]
    tables = {
        "runs": from_rows([{**run, "status": "done", "identity": run["run"]} for run in runs], RUNS),
        "scores": from_rows(scores, SCORES),
        "items": pl.concat([empty(ITEMS), *(conformed(frame, ITEMS) for frame in items)]),
        "questions": pl.concat([empty(QUESTIONS), *(log.questions for log in logs)]).unique(
            ["benchmark", "item"], keep="first", maintain_order=True
        ),
    }
    paths = {f"path of {model}": path for path, model in logged.items() if path != model}
    return ImportedStudy(name, tables, {}, {"kind": "lm-eval", "folder": folder.name, **paths}, tuple(notes))


def short_names(models: Sequence[str]) -> dict[str, str]:
    """What to call each logged model: of a path its last part, or as many as tell it from the others; a hub id whole.

    `checkpoint-100` is told with the folder that it lies in.
    """
    parts = {model: _parts(model) for model in models}
    lengths = {model: 2 if CHECKPOINT.fullmatch(held[-1]) else 1 for model, held in parts.items()}

    def named(model: str) -> str:
        return "/".join(parts[model][-lengths[model] :])

    while True:
        counts = Counter(map(named, models))
        longer = [model for model in models if counts[named(model)] > 1 and lengths[model] < len(parts[model])]
        if not longer:
            return {model: named(model) if counts[named(model)] == 1 else model for model in models}
        lengths |= {model: lengths[model] + 1 for model in longer}


def _parts(model: str) -> tuple[str, ...]:
    """The parts of a path; what is none (a hub id has one stroke inside) is one part."""
    split = tuple(part for part in re.split(r"[/\\]", model) if part not in ("", ".", "..", "~"))
    is_path = re.match(r"[/\\.~]|[A-Za-z]:", model) or model.count("/") > 1 or model.endswith("/")
    return split if is_path and split else (model,)


def _named(logged: Mapping[str, str], base: str | None) -> dict[str, LoggedModel]:
    names = list(logged.values())
    if base is None:
        return {model: LoggedModel(model, model, "none", {}) for model in names}
    meant = [model for path, model in logged.items() if base in (path, path.rstrip("/"), model)]
    meant = meant or [model for path, model in logged.items() if base in path]
    if len(meant) != 1:
        raise DataError(f"--base {base} is {'none' if not meant else 'several'} of the logged models: {_some(names)}")
    return {model: LoggedModel(model, meant[0], "none" if model == meant[0] else model, {}) for model in names}


def _described(logged: Mapping[str, str], models: pl.DataFrame) -> dict[str, LoggedModel]:
    missing = next((name for name in NAMES if name not in models.columns), None)
    if missing is not None:
        raise DataError(f"the table of models has no column {missing!r}; it needs {', '.join(NAMES)}")
    unknown = next((name for name in models.columns if name not in KNOWN), None)
    if unknown is not None:
        raise DataError(f"the table of models has a column {unknown!r}{nearest(unknown, KNOWN)}")
    names = list(logged.values())
    rows = {logged.get(str(row["model"]), str(row["model"])): row for row in models.to_dicts()}
    left = [model for model in names if model not in rows]
    if left:
        raise DataError(f"the table of models does not say what {left[0]} is; logged are {_some(names)}")
    return {
        model: LoggedModel(
            model,
            logged.get(str(rows[model]["base"]), str(rows[model]["base"])),
            str(rows[model]["dataset"] or "none"),
            {name: value for name, value in rows[model].items() if name not in NAMES},
        )
        for model in names
    }


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _task_scores(logs: Sequence[LoggedTask], known: Mapping[str, LoggedModel]) -> list[Row]:
    """Scores of all models on one task, with gains over the base of each where both have items."""
    bases = {known[log.model].base: log for log in logs if known[log.model].dataset == "none"}
    rows: list[Row] = []
    for log in logs:
        model = known[log.model]
        base = bases.get(model.base) if model.dataset != "none" else None
        found = _of_items(log, base) if not log.items.is_empty() else _of_means(log)
        main = main_metric((str(row["scorer"]), str(row["metric"])) for row in found) if found else None
        for row in found:
            metric = str(row["metric"])
            rows.append(
                {
                    **row,
                    **model.columns,
                    "benchmark": log.task,
                    "status": "done",
                    "higher_is_better": metric_named(metric).higher_is_better,
                    "main": (row["scorer"], metric) == main,
                    "identity": f"{log.model}/{log.task}",
                    "engine": ENGINE,
                }
            )
    return rows


def _of_items(log: LoggedTask, base: LoggedTask | None) -> list[Row]:
    tuned = _weighed(log)
    paired = paired_rows(tuned, _weighed(base)) if base is not None and not base.items.is_empty() else None
    rows: list[Row] = []
    for (scorer, metric), part in tuned.partition_by("scorer", "metric", as_dict=True, maintain_order=True).items():
        unread, shared = part["parsed"].drop_nulls(), shared_clusters(part.drop_nulls("numerator"))
        row: Row = {
            "scorer": scorer,
            "metric": metric,
            "n": part.drop_nulls("numerator").height,
            "unfit": part["numerator"].null_count(),
            "clusters": None if shared is None else len(np.unique(shared)),
            "unparsed": int((~unread).sum()) if unread.len() else None,
            **_ends(score_estimate(part.drop_nulls("numerator"), str(metric)), "value", ""),
        }
        if paired is not None:
            both = paired.filter((pl.col("scorer") == scorer) & (pl.col("metric") == metric))
            row |= {**_ends(gain_estimate(both, str(metric)), "gain", "gain_"), "gain_n": both.height}
        rows.append(row)
    return rows


def _weighed(log: LoggedTask) -> pl.DataFrame:
    known = log.items.select(pl.col(name).cast(kind) for name, kind in READ.items())
    return weighed(known.with_columns(pl.lit(0, dtype=pl.Int32()).alias("cell")))


def _ends(estimate: Estimate | None, value: str, prefix: str) -> Row:
    if estimate is None:
        return {}
    ends = {"se": estimate.se, "ci_low": estimate.ci_low, "ci_high": estimate.ci_high}
    return {value: estimate.value, **{f"{prefix}{name}": end for name, end in ends.items()}}


def _of_means(log: LoggedTask) -> list[Row]:
    """Means of the results file, with normal intervals from its standard errors."""
    from scipy import stats

    reach = float(stats.norm.ppf(0.5 + CONFIDENCE / 2))
    rows: list[Row] = []
    for (scorer, metric), (value, error, count) in log.means.items():
        row: Row = {"scorer": scorer, "metric": metric, "value": value, "n": count}
        if error is not None:
            row |= {"se": error, "ci_low": value - reach * error, "ci_high": value + reach * error}
        rows.append(row)
    return rows

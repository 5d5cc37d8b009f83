"""The released results of *Massive Supervised Fine-tuning Experiments* (arXiv 2506.14681), `evaluation_result.csv`."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from sftlab.analyse.intervals import Estimate, proportion
from sftlab.analyse.metrics import metric_named
from sftlab.analyse.schemas import DATA, LAYERS, RUNS, SCORES, empty, from_rows
from sftlab.errors import DataError
from sftlab.release.imports.scores import refuse_repeated_columns
from sftlab.store.imported import ImportedStudy

NAMES = ("model_name", "data_name", "lora", "epoch", "data_size", "lr_strategy")
BASE_DATA, ALL_DATA, WITHOUT = "pretrain", "all", "w/o-"
DERIVED_FROM = {
    re.compile(r"llama-?3", re.IGNORECASE): "Llama-3",
    re.compile(r"llama-?2", re.IGNORECASE): "Llama-2",
    re.compile(r"mistral", re.IGNORECASE): "Mistral",
    re.compile(r"qwen", re.IGNORECASE): "Qwen",
    re.compile(r"yi-", re.IGNORECASE): "Yi",
    re.compile(r"gemma", re.IGNORECASE): "Gemma",
}
"""Bases pretrained further from another's weights (Swallow and Chinese ones from Llama, say) are of its family."""
MIXTURE_PARTS = {
    "alpaca": "alpaca_cleaned",
    "math": "math_instruct",
    "openmath": "openmath_instruct",
}
ITEMS = {
    "mbpp": 257,
    "math": 5000,
    "gsm8k": 1319,
    "humaneval": 164,
    "hellaswag": 10042,
    "nq": 3610,
    "boolq": 3270,
    "mmlu": 14042,
    "cmmlu": 11582,
    "jmmlu": 7097,
}
"""Items of each benchmark: the file's percentages are multiples of 1/257 for MBPP (sanitized test set), and so on."""
EPOCHS = 10
"""Every run of the paper has ten; where a file lacks the last one, its answers are built on the last that it has."""
FULL_RATE, FULL_BATCH, LORA_RATE, LORA_BATCH = 1e-5, 32, 2e-6, 128
"""Appendix of the paper: learning rates and batch sizes of full fine-tuning and LoRA."""


def massive_sft(path: Path, origin: Mapping[str, str]) -> ImportedStudy:
    """The tables `runs`, `scores`, `data` and `layers` of the csv that the authors released.

    Percentages become shares; MT-Bench ratings stay between 1 and 10. The file has no items: intervals of scores are
    Wilson's with the benchmarks' published numbers of items (MMLU and its kin are means over subjects there, so theirs
    are approximate), and gains have none of their own. Raises DataError for a file of another form.
    """
    try:
        refuse_repeated_columns(path)
        frame = pl.read_csv(path, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as csv: {str(error).splitlines()[0]}") from error
    missing = [name for name in NAMES if name not in frame.columns]
    if missing:
        raise DataError(
            f"{path} has no column {missing[0]!r}; the released table has {', '.join(NAMES)} and scores, this one "
            f"{', '.join(repr(name[:40]) for name in frame.columns[:5])}{' ...' if len(frame.columns) > 5 else ''}"
        )
    if frame.is_empty():
        raise DataError(f"{path} has columns and no rows; the released table has a row for each model")
    benchmarks = [name for name in frame.columns if name not in NAMES and name]
    if not benchmarks:
        raise DataError(f"{path} has no column of scores beside {', '.join(NAMES)}")
    _refuse_no_numbers(frame, benchmarks, path)
    _refuse_no_recipe(frame, path)
    rows = [_Row.of(row) for row in frame.to_dicts()]
    _refuse_duplicates(rows, path)
    singles = sorted({row.dataset for row in rows if row.run is not None} - _mixtures(rows))
    scores = [score for row in rows for score in _scores(row, benchmarks)]
    known = _with_gains(from_rows(scores, SCORES))
    tables = {"runs": _runs(rows), "scores": known, "data": empty(DATA), "layers": empty(LAYERS)}
    return ImportedStudy(
        name="massive-sft",
        tables=tables,
        sources=_sources(rows, singles),
        origin={"kind": "massive-sft", **origin},
        notes=_notes(rows, known),
    )


@dataclass(frozen=True)
class _Row:
    """One line of the file."""

    base: str
    dataset: str
    adapter: bool
    epoch: int
    samples: int | None
    schedule: str | None
    values: Mapping[str, object]

    @classmethod
    def of(cls, row: Mapping[str, object]) -> "_Row":
        is_base = row["data_name"] == BASE_DATA
        return cls(
            base=str(row["model_name"]),
            dataset="none" if is_base else str(row["data_name"]),
            adapter=str(row["lora"]).lower() == "true",
            epoch=0 if is_base else int(float(str(row["epoch"]))),
            samples=None if is_base else int(float(str(row["data_size"]))),
            schedule=None if is_base else str(row["lr_strategy"]),
            values=row,
        )

    @property
    def method(self) -> str:
        return "lora" if self.adapter else "full"

    @property
    def run(self) -> str | None:
        if self.dataset == "none":
            return None
        return f"{self.base}-{self.dataset}-{self.samples}-{self.method}-{self.schedule}"

    @property
    def checkpoint(self) -> str:
        return self.base if self.run is None else f"{self.run}-epoch{self.epoch}"

    @property
    def recipe(self) -> dict[str, object]:
        """The columns that `runs` and `scores` share."""
        common: dict[str, object] = {"run": self.run, "base": self.base, "family": _family(self.base)}
        if self.run is None:
            return {**common, "dataset": "none"}
        rate, batch = (LORA_RATE, LORA_BATCH) if self.adapter else (FULL_RATE, FULL_BATCH)
        return {
            **common,
            "dataset": self.dataset,
            "samples": self.samples,
            "method": self.method,
            "schedule": self.schedule,
            "learning_rate": rate,
            "batch_size": batch,
        }


def _family(base: str) -> str:
    return next((family for pattern, family in DERIVED_FROM.items() if pattern.search(base)), base)


def _refuse_no_numbers(frame: pl.DataFrame, benchmarks: list[str], path: Path) -> None:
    """Empty cells and NaN are scores that are missing; a text or an infinite number is none."""
    for name in benchmarks:
        numbers = frame[name].cast(pl.Float64, strict=False)
        wrong = (frame[name].is_not_null() & numbers.is_null()) | numbers.is_infinite().fill_null(value=False)
        if wrong.any():
            row = frame.filter(wrong).row(0, named=True)
            raise DataError(
                f"{path}: scores are finite numbers, and {name!r} of {row['model_name']} after {row['data_name']} is "
                f"{row[name]!r}; leave empty what is missing"
            )


def _refuse_no_recipe(frame: pl.DataFrame, path: Path) -> None:
    """Every row names model and data, and every row of a tuned model its epoch and number of examples."""
    tuned = pl.col("data_name") != BASE_DATA
    needed = {
        "model_name": pl.col("model_name").is_null(),
        "data_name": pl.col("data_name").is_null(),
        "epoch": tuned & pl.col("epoch").cast(pl.Float64, strict=False).fill_nan(None).is_null(),
        "data_size": tuned & pl.col("data_size").cast(pl.Float64, strict=False).fill_nan(None).is_null(),
    }
    for name, absent in needed.items():
        rows = frame.filter(absent)
        if rows.height:
            row = rows.row(0, named=True)
            raise DataError(
                f"{path}: every row has {' and '.join(needed)}, {BASE_DATA!r} rows the first two; that of "
                f"{row['model_name']} after {row['data_name']} has {row[name]!r} as {name}"
            )


def _refuse_duplicates(rows: list[_Row], path: Path) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.checkpoint in seen:
            raise DataError(f"{path}: two rows are of {row.checkpoint}; a model has one row")
        seen.add(row.checkpoint)


def _mixtures(rows: list[_Row]) -> set[str]:
    return {row.dataset for row in rows if row.dataset == ALL_DATA or row.dataset.startswith(WITHOUT)} | {"none"}


def _sources(rows: list[_Row], singles: list[str]) -> dict[str, frozenset[str]]:
    """What mixtures are made of: all single datasets, or all but the one that is named."""
    made_of = {}
    for name in sorted(_mixtures(rows) - {"none"}):
        left_out = name.removeprefix(WITHOUT) if name != ALL_DATA else None
        alike = [one for one in singles if left_out is not None and _is_called(one, left_out)]
        made_of[name] = frozenset(singles) - frozenset(alike[:1])
    return made_of


def _is_called(dataset: str, short: str) -> bool:
    return dataset == MIXTURE_PARTS.get(short, short) or dataset.startswith(short) or short in dataset.split("_")


def _runs(rows: list[_Row]) -> pl.DataFrame:
    last: dict[str, _Row] = {}
    for row in rows:
        if row.run is not None and (row.run not in last or row.epoch > last[row.run].epoch):
            last[row.run] = row
    return from_rows(
        [
            {
                **row.recipe,
                "adapter": "lora" if row.adapter else "none",
                "epochs": EPOCHS,
                "scored_epoch": row.epoch,
                "status": "done",
                "weight_decay": 0.0,
                "examples": row.samples,
                "chosen": None,
                "identity": run,
            }
            for run, row in last.items()
        ],
        RUNS,
    )


def _scores(row: _Row, benchmarks: list[str]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for name in benchmarks:
        metric, scorer, scale = _meaning(name)
        value = row.values[name]
        score: dict[str, object] = {
            **row.recipe,
            "checkpoint": row.checkpoint,
            "epoch": row.epoch,
            "epochs": EPOCHS if row.run else None,
            "benchmark": name,
            "scorer": scorer,
            "metric": metric,
            "higher_is_better": metric_named(metric).higher_is_better,
            "main": True,
            "identity": f"{row.checkpoint}/{name}",
        }
        if not isinstance(value, int | float) or math.isnan(value):
            found.append({**score, "status": "failed", "reason": "the file has no value here"})
            continue
        share = float(value) / scale
        found.append({**score, "status": "done", "value": share, **_interval(name, share)})
    return found


def _meaning(benchmark: str) -> tuple[str, str, float]:
    """Metric, scorer, and what the file's numbers are divided by to be shares."""
    plain = benchmark.lower()
    if plain.startswith("mtbench"):
        return "rating", "judge", 1.0
    if plain.startswith("alpaca_eval"):
        return "win_rate", "judge", 100.0
    if plain.startswith("truthful"):
        return "bleu_accuracy", "generative", 1.0
    return "accuracy", "generative", 100.0


def _interval(benchmark: str, share: float) -> dict[str, object]:
    items = ITEMS.get(re.split(r"[-_]", benchmark.lower())[0])
    if items is None or not 0.0 <= share <= 1.0:
        return {}
    estimate: Estimate = proportion(round(share * items), items)
    return {"n": items, "se": estimate.se, "ci_low": estimate.ci_low, "ci_high": estimate.ci_high}


def _with_gains(scores: pl.DataFrame) -> pl.DataFrame:
    """Gain over the base's value, which the file has without items: no interval of its own."""
    bases = scores.filter(pl.col("dataset") == "none").select("base", "benchmark", pl.col("value").alias("of_base"))
    joined = scores.join(bases, on=["base", "benchmark"], how="left", maintain_order="left")
    gain = pl.when(pl.col("dataset") != "none").then(pl.col("value") - pl.col("of_base"))
    return joined.with_columns(gain=gain).select(list(SCORES))


def _notes(rows: list[_Row], scores: pl.DataFrame) -> tuple[str, ...]:
    missing = scores.filter(pl.col("value").is_null()).height
    bases = {row.base for row in rows}
    scored = {row.base for row in rows if row.run is None}
    return (
        "the file has no items: intervals are over families and datasets alone",
        *([f"{missing} score{'s are' if missing != 1 else ' is'} missing in the file"] if missing else []),
        *([f"no base row for {', '.join(sorted(bases - scored))}: no gains there"] if bases - scored else []),
    )

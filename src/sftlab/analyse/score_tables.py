"""Tables of scores: `scores` (one row per checkpoint, benchmark, scorer and metric) and `items`."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import cast

import numpy as np
import polars as pl

from sftlab.analyse.cell_status import CellStatus, model_status
from sftlab.analyse.choice import standings
from sftlab.analyse.intervals import Estimate
from sftlab.analyse.item_scores import (
    ScoreGroup,
    batches,
    gain_estimate,
    item_rows,
    paired_rows,
    score_estimate,
    score_groups,
    shared_clusters,
)
from sftlab.analyse.metrics import main_metric, metric_named
from sftlab.analyse.run_tables import recipe_columns
from sftlab.analyse.schemas import ITEMS, QUESTIONS, SCORES, conformed, empty, from_rows
from sftlab.analyse.wording import items_left_out, items_without_verdict
from sftlab.store import Store
from sftlab.study.cells import Cells, RunCell, ScoreCell

Row = dict[str, object]
Part = tuple[object, ...]
CellKey = tuple[str, str | None]


def items_table(cells: Cells, store: Store) -> pl.DataFrame:
    """Every scored item of the study, also those that do not fit (status unfit, no score).

    Once for each checkpoint: runs that share one share its items.
    """
    frames = [empty(ITEMS)]
    for cell in {(cell.identity, cell.benchmark.name): cell for cell in cells.scores}.values():
        frame = store.rows(cell.identity, "items")
        if frame is not None:
            names = pl.lit(cell.checkpoint).alias("checkpoint"), pl.lit(cell.benchmark.name).alias("benchmark")
            frames.append(conformed(frame.with_columns(*names), ITEMS))
    return pl.concat(frames)


def questions_table(cells: Cells, store: Store) -> pl.DataFrame:
    """What the items of each benchmark ask, once for all models: the prompt before any template, and the gold answer.

    Of benchmarks on which no model has been scored yet there are none.
    """
    frames = [empty(QUESTIONS)]
    for name, benchmark in dict.fromkeys((cell.benchmark.name, cell.benchmark_digest) for cell in cells.scores):
        frame = store.questions(benchmark)
        if frame is not None:
            frames.append(conformed(frame.with_columns(benchmark=pl.lit(name)), QUESTIONS))
    return pl.concat(frames)


def scores_table(cells: Cells, store: Store) -> pl.DataFrame:
    """Scores with 95 % intervals, and gains over the base paired item by item; the base is dataset `none`, epoch 0.

    `value` is a micro average: every item (every byte, where bits are pooled) weighs the same, whatever its stratum;
    `strata` says how many there are. `n` counts items that fit, `unfit` those that do not, `unjudged` those without a
    judge's verdict, `gain_n` those that both checkpoint and base have. Where items share a passage, `clusters` counts
    the independent ones, and intervals are over those. A cell that is not done has a row for each scorer and metric
    that the benchmark is known to have elsewhere in the study.
    """
    return _ScoreRows(cells, store).table()


class _ScoreRows:
    """What all rows of the table draw on: the runs by name and which of them are chosen."""

    def __init__(self, cells: Cells, store: Store) -> None:
        self._cells = cells
        self._store = store
        self._runs = {cell.spec.run: cell for cell in cells.runs}
        self._families = {cell.base.name: cell.family for cell in cells.bases}
        self._standings = standings(cells.runs, store)

    def table(self) -> pl.DataFrame:
        found: dict[CellKey, list[Row]] = {}
        for group in score_groups(self._cells):
            self._estimate(group, found)
        by_benchmark: dict[str, list[Part]] = {}
        for cell in self._cells.scores:
            known = by_benchmark.setdefault(cell.benchmark.name, [])
            known.extend(
                part for row in found.get(_key(cell), []) if (part := (row["scorer"], row["metric"])) not in known
            )
        rows = [
            row
            for cell in self._cells.scores
            for row in self._finished(cell, found.get(_key(cell), []), by_benchmark[cell.benchmark.name])
        ]
        return from_rows(rows, SCORES)

    def _estimate(self, group: ScoreGroup, found: dict[CellKey, list[Row]]) -> None:
        """Values and gains of one base's checkpoints on one benchmark."""
        base = item_rows([group.base] if group.base else [], self._store)
        if group.base is not None:
            found[_key(group.base)] = [_value_columns(part, rows) for part, rows in _parts(base)]
        for cells in batches(group.tuned):
            tuned = item_rows(cells, self._store)
            paired = dict(_parts(paired_rows(tuned, base)))
            for part, rows in _parts(tuned):
                columns = {**_value_columns(part, rows), **_gain_columns(part, paired.get(part))}
                found.setdefault(_key(cells[_place(part)]), []).append(columns)

    def _finished(self, cell: ScoreCell, rows: list[Row], parts: list[Part]) -> list[Row]:
        run = self._runs[cell.run] if cell.run is not None else None
        status = model_status(cell, run, self._store)
        if status.status != "done" or not rows:
            known = [{"scorer": scorer, "metric": metric} for scorer, metric in parts] or [{}]
            had = {(row["scorer"], row["metric"]): row for row in rows}
            rows = [{**row, **had.get((row.get("scorer"), row.get("metric")), {})} for row in known]
        common = self._common(cell, run)
        main = main_metric((str(scorer), str(metric)) for scorer, metric in parts) if parts else None
        answered = _answered(cell, self._store)
        return [{**row, **common, **_judged(row, status, main), **_engine(row, answered)} for row in rows]

    def _common(self, cell: ScoreCell, run: RunCell | None) -> Row:
        recipe: Row = {"dataset": "none"} if run is None else recipe_columns(run.spec)
        return {
            **recipe,
            "checkpoint": cell.checkpoint,
            "base": cell.base,
            "family": self._families.get(cell.base, cell.base),
            "epoch": cell.epoch,
            "benchmark": cell.benchmark.name,
            "chosen": None if run is None else self._standings[run.spec.run].chosen,
            "identity": cell.identity,
        }


def _key(cell: ScoreCell) -> CellKey:
    """Runs that differ only in name (two names for one dataset, say) share their scores' identities."""
    return cell.identity, cell.run


def _parts(rows: pl.DataFrame) -> list[tuple[Part, pl.DataFrame]]:
    """Rows by (cell, scorer, metric)."""
    return list(rows.partition_by("cell", "scorer", "metric", as_dict=True, maintain_order=True).items())


def _place(part: Part) -> int:
    place = part[0]
    assert isinstance(place, int)
    return place


def _value_columns(part: Part, rows: pl.DataFrame) -> Row:
    fits = rows.drop_nulls("numerator")
    estimate = score_estimate(fits, str(part[2]))
    unread = fits["parsed"].drop_nulls()
    clusters = shared_clusters(fits)
    unjudged = int((rows["status"] == "failed").sum())
    return {
        "scorer": part[1],
        "metric": part[2],
        "n": fits.height,
        "unfit": rows.height - fits.height - unjudged,
        "unjudged": unjudged if part[1] == "judge" else None,
        "unparsed": int((~unread).sum()) if unread.len() else None,
        "clusters": None if clusters is None else len(np.unique(clusters)),
        "strata": rows["stratum"].drop_nulls().n_unique() or None,
        **_ends(estimate, "value", ""),
        "reason": _missing(rows, none_left=estimate is None),
    }


def _missing(rows: pl.DataFrame, *, none_left: bool) -> str | None:
    """Why items of one metric have no value, and how many; where none has one, the most common reason alone."""
    without = rows.filter(pl.col("numerator").is_null() & pl.col("reason").is_not_null())
    if without.is_empty():
        return None
    if none_left:
        return str(without["reason"].value_counts(sort=True)["reason"][0])
    failed = pl.col("status") == "failed"
    unfit, unjudged = without.filter(~failed), without.filter(failed)["reason"].to_list()
    said = [items_without_verdict(count, rows.height, reason) for reason, count in Counter(unjudged).items()]
    if not unfit.is_empty():
        said.insert(0, items_left_out(unfit.height, rows.height, unfit["item"][0], unfit["reason"][0]))
    return "; ".join(said)


def _gain_columns(part: Part, pairs: pl.DataFrame | None) -> Row:
    if pairs is None:
        return {}
    return {**_ends(gain_estimate(pairs, str(part[2])), "gain", "gain_"), "gain_n": pairs.height}


def _ends(estimate: Estimate | None, value: str, prefix: str) -> Row:
    if estimate is None:
        return {}
    ends = {"se": estimate.se, "ci_low": estimate.ci_low, "ci_high": estimate.ci_high}
    return {value: estimate.value, **{f"{prefix}{name}": end for name, end in ends.items()}}


def _answered(cell: ScoreCell, store: Store) -> Mapping[str, object]:
    record = store.record(cell.identity)
    return {} if record is None else record.result


def _engine(row: Row, result: Mapping[str, object]) -> Row:
    """Which engine answered, and how far the score may move when it answers in other batches."""
    measured = result.get("noise")
    scorer, metric, n = row.get("scorer"), row.get("metric"), row.get("n")
    spread = measured.get(f"{scorer}/{metric}") if isinstance(measured, Mapping) else None
    noise = spread / math.sqrt(n) if isinstance(spread, float) and isinstance(n, int) and n > 0 else None
    return {"engine": result.get("engine"), "noise": noise}


def _judged(row: Row, status: CellStatus, main: tuple[str, str] | None) -> Row:
    """Status of one row: a finished cell none of whose items has a value is unfit there, or failed without verdicts.

    What is missing of a finished row is of its own metric: items that lack one may have another.
    """
    if status.status == "done" and row.get("value") is None:
        reason = str(row.get("reason") or status.reason or "no item fits the context")
        status = CellStatus("failed" if row.get("unjudged") and not row.get("unfit") else "unfit", reason)
    elif status.status == "done":
        status = CellStatus("done", cast("str | None", row.get("reason")))
    metric = row.get("metric")
    return {
        "status": status.status,
        "reason": status.reason,
        "higher_is_better": metric_named(str(metric)).higher_is_better if metric is not None else None,
        "main": (row.get("scorer"), metric) == main if main is not None else None,
    }

"""Which benchmark items occur in which training sets of a study; found once and remembered in the store."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from sftlab.data.contamination import CONTAMINATION_VERSION, contamination
from sftlab.data.example import Dataset
from sftlab.plan.opening import Opened
from sftlab.plan.questions import benchmark_questions
from sftlab.plan.selection import dataset_in_memory
from sftlab.study.identity import digest

NOTE = "contamination"
COUNTS = {
    "dataset": pl.String(),
    "benchmark": pl.String(),
    "examples": pl.Int64(),
    "tested": pl.Int64(),
    "untested": pl.Int64(),
    "contaminated": pl.Int64(),
    "share": pl.Float64(),
}
ITEMS = {
    "dataset": pl.String(),
    "benchmark": pl.String(),
    "item": pl.String(),
    "example": pl.Int64(),
    "text": pl.String(),
}


@dataclass(frozen=True)
class ContaminationTables:
    """`contamination`: counts for each dataset and benchmark; `contaminated_items`: each item found, and where.

    `left` is how many pairs of dataset and benchmark there was no time to compare.
    """

    contamination: pl.DataFrame
    contaminated_items: pl.DataFrame
    left: int = 0


def contamination_tables(opened: Opened, *, goes_on: Callable[[], bool] = lambda: True) -> ContaminationTables:
    """Every benchmark of a study against the whole of every dataset, also what a run does not draw from it.

    `goes_on` is asked before each comparison that was not made before, and leaves it out where it says no. `share` is
    contaminated over tested items, null where none is tested. Raises BenchmarkError where the items of a benchmark are
    not here yet, DataError where a dataset is not.
    """
    store, resolved = opened.store, opened.resolved
    known: dict[str, Any] = dict(store.read_note(NOTE) or {})
    counts: list[dict[str, object]] = []
    items: list[dict[str, object]] = []
    questions: dict[str, Mapping[str, str]] = {}
    left = 0
    for name, content in resolved.dataset_digests.items():
        for ref, benchmark_digest in resolved.benchmarks:
            key = digest([CONTAMINATION_VERSION, content, benchmark_digest])
            if key not in known:
                if not goes_on():
                    left += 1
                    continue
                if ref.name not in questions:
                    questions[ref.name] = benchmark_questions(opened.study.evaluation, ref)
                dataset = dataset_in_memory(opened.study.datasets[name], name, content)
                known[key] = _compared(questions[ref.name], dataset)
            held, names = known[key], {"dataset": name, "benchmark": ref.name}
            counts.append({**names, **{column: held[column] for column in COUNTS if column in held}})
            items += [{**names, **found} for found in held["items"]]
    store.write_note(NOTE, known)
    frame = pl.DataFrame(counts, schema={name: kind for name, kind in COUNTS.items() if name != "share"}, orient="row")
    share = pl.when(pl.col("tested") > 0).then(pl.col("contaminated") / pl.col("tested"))
    return ContaminationTables(
        frame.with_columns(share.alias("share")).select(*COUNTS), pl.DataFrame(items, schema=ITEMS, orient="row"), left
    )


def _compared(questions: Mapping[str, str], dataset: Dataset) -> dict[str, object]:
    found = contamination(questions, _texts(dataset))
    return {
        "examples": len(dataset.examples),
        "tested": found.tested,
        "untested": found.untested,
        "contaminated": len(found.occurrences),
        "items": [{"item": one.item, "example": one.example, "text": one.text} for one in found.occurrences],
    }


def _texts(dataset: Dataset) -> Iterator[tuple[int, str]]:
    """Whole conversations: a question may stand in the instruction or in what is learned."""
    for example in dataset.examples:
        yield example.index, "\n".join(turn.content for turn in example.turns)

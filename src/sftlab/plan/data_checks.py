"""What is wrong with the texts of a study's datasets: the frame `data_checks`, found once and kept in the store."""

from itertools import combinations
from typing import Any

import polars as pl

from sftlab.analyse.audit.checks.data_texts import CONTAMINATION, DATA_CHECKS, SHARED, TEMPLATE
from sftlab.data.example import Dataset
from sftlab.data.near_duplicates import near_duplicates
from sftlab.data.record import excerpt
from sftlab.data.summary import has_template, whole_text
from sftlab.plan.contamination import contamination_tables
from sftlab.plan.opening import Opened
from sftlab.plan.selection import dataset_in_memory
from sftlab.study.identity import digest

VERSION = 1
NOTE = "data_checks"


def data_checks(opened: Opened) -> pl.DataFrame:
    """One row for each thing found, with the columns of `DATA_CHECKS`.

    Every dataset is looked through for templates, every pair of them for common examples (word for word or nearly, see
    `near_duplicates`), and every benchmark's questions for in every dataset. Raises DataError or BenchmarkError where
    one of them is not here.
    """
    digests = opened.resolved.dataset_digests
    known: dict[str, Any] = dict(opened.store.read_note(NOTE) or {})

    def dataset(name: str) -> Dataset:
        return dataset_in_memory(opened.study.datasets[name], name, digests[name])

    rows: list[dict[str, object]] = []
    for name, content in digests.items():
        key = digest([VERSION, TEMPLATE, content])
        if key not in known:
            known[key] = _templates(dataset(name))
        rows.append({"check": TEMPLATE, "dataset": name, "other": None, **known[key]})
    for name, other in combinations(digests, 2):
        key = digest([VERSION, SHARED, digests[name], digests[other]])
        if key not in known:
            known[key] = _shared(dataset(name), dataset(other))
        rows.append({"check": SHARED, "dataset": name, "other": other, **known[key]})
    opened.store.write_note(NOTE, known)
    found = contamination_tables(opened)
    first = found.contaminated_items.group_by("dataset", "benchmark").agg(pl.col("text").first().alias("example"))
    counted = found.contamination.join(first, on=["dataset", "benchmark"], how="left", maintain_order="left")
    rows += counted.select(
        pl.lit(CONTAMINATION).alias("check"),
        "dataset",
        pl.col("benchmark").alias("other"),
        pl.col("contaminated").alias("count"),
        pl.col("tested").alias("of"),
        "example",
    ).to_dicts()
    return pl.DataFrame(rows, schema=DATA_CHECKS).filter(pl.col("count") > 0)


def _templates(dataset: Dataset) -> dict[str, object]:
    baked = [example for example in dataset.examples if has_template(example)]
    first = f"row {baked[0].index}: {excerpt(whole_text(baked[0]))}" if baked else None
    return {"count": len(baked), "of": len(dataset.examples), "example": first}


def _shared(dataset: Dataset, other: Dataset) -> dict[str, object]:
    theirs = {example.turns for example in other.examples}
    texts = [whole_text(example) for example in dataset.examples]
    near = {one.place for one in near_duplicates(texts, [whole_text(example) for example in other.examples])}
    both = [place for place, example in enumerate(dataset.examples) if example.turns in theirs or place in near]
    first = f"row {dataset.examples[both[0]].index}: {excerpt(texts[both[0]])}" if both else None
    return {"count": len(both), "of": len(texts), "example": first}

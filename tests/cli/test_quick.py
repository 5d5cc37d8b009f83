"""What the flags of `quick` come to."""

from pathlib import Path

import polars as pl
import pytest

from sftlab.analyse.audit.checks.data_texts import DATA_CHECKS, contaminated_benchmarks
from sftlab.cli.quick import _columns_by_file, contaminated_leads


def test_columns_are_for_all_delimited_files_or_for_the_one_that_is_named() -> None:
    lines, one, two = Path("a.jsonl"), Path("in/b.tsv"), Path("c.csv.gz")
    files = [lines, one, two]
    assert _columns_by_file(["q,a"], files) == {one: ("q", "a"), two: ("q", "a")}
    assert _columns_by_file(["b.tsv=q, a, why", "q,a"], files) == {one: ("q", "a", "why"), two: ("q", "a")}
    assert _columns_by_file(["in/b.tsv=q,a"], files) == {one: ("q", "a")}


@pytest.mark.parametrize(
    ("dataset", "benchmark", "count", "said"),
    [
        ("facts", "facts-heldout", 30, "30 of 100 items of facts-heldout stand in facts"),
        ("facts", "facts-heldout", 0, None),
        ("facts", "chat-heldout", 30, None),
        ("chat", "facts-heldout", 30, None),
    ],
    ids=["of the leader", "nothing found", "of a dataset that does not lead", "of another dataset"],
)
def test_a_leader_that_holds_the_items_it_leads_on_is_told(dataset, benchmark, count, said) -> None:
    ranking = pl.DataFrame(
        {
            "benchmark": ["facts-heldout", "facts-heldout", "chat-heldout", "chat-heldout"],
            "dataset": ["facts", "chat", "chat", "facts"],
            "rank": [1, 2, 1, 2],
            "main": [True] * 4,
        }
    )
    row = {"check": "contamination", "dataset": dataset, "other": benchmark, "count": count, "of": 100, "example": "a"}
    findings = list(contaminated_benchmarks({"data_checks": pl.DataFrame([row], schema=DATA_CHECKS)}))
    found = contaminated_leads(ranking, findings)
    assert (found is None) if said is None else (found is not None and said in found)

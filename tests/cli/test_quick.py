"""What the flags of `quick` come to."""

from pathlib import Path

from sftlab.cli.quick import _columns_by_file


def test_columns_are_for_all_delimited_files_or_for_the_one_that_is_named() -> None:
    lines, one, two = Path("a.jsonl"), Path("in/b.tsv"), Path("c.csv.gz")
    files = [lines, one, two]
    assert _columns_by_file(["q,a"], files) == {one: ("q", "a"), two: ("q", "a")}
    assert _columns_by_file(["b.tsv=q, a, why", "q,a"], files) == {one: ("q", "a", "why"), two: ("q", "a")}
    assert _columns_by_file(["in/b.tsv=q,a"], files) == {one: ("q", "a")}

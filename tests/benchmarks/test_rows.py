"""Rows of every legal kind of file."""

import csv
import gzip
import json

import polars as pl
import pytest

from sftlab.benchmarks.rows import Layout, file_format, read_rows
from sftlab.errors import BenchmarkError

ROWS = [
    {"question": 'one, "two"\nthree\r\n', "answer": "4", "n": 1},
    {"question": "\u4e2d\u2028\u6587", "answer": "None", "n": 22},
]


def written(path, rows, kind):
    if kind == "parquet":
        pl.DataFrame(rows).write_parquet(path)
        return
    if kind in {"csv", "tsv"}:
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if kind == "tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
        return
    text = json.dumps(rows, indent=1) if kind == "json" else "\n\n".join(json.dumps(row) for row in rows)
    path.write_bytes(text.encode())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["json", "jsonl", "ndjson", "csv", "tsv", "parquet"])
def test_every_kind_gives_the_same_rows(kind, packed, tmp_path):
    path = tmp_path / f"rows.v1.{kind}"
    written(path, ROWS, kind)
    if packed:
        content = path.read_bytes()
        path = tmp_path / f"rows.{kind}.gz"
        path.write_bytes(gzip.compress(content, mtime=0))
    assert read_rows(path, Layout(file_format(path), typed=True)) == ROWS


def test_csv_cells_are_text_unless_numbers_are_asked_for(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n007,NA\n1,\n", encoding="utf-8")
    assert read_rows(path, Layout("csv")) == [{"a": "007", "b": "NA"}, {"a": "1", "b": None}]


def test_files_without_header_take_the_stated_columns(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("what?,A\nwho?,B\n", encoding="utf-8")
    assert read_rows(path, Layout("csv", columns=("q", "a")))[1] == {"q": "who?", "a": "B"}
    with pytest.raises(BenchmarkError, match="has 2 columns where 3 are named"):
        read_rows(path, Layout("csv", columns=("q", "a", "b")))


def test_cells_that_a_row_lacks_are_none(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"b": 2}\n', encoding="utf-8")
    assert read_rows(path, Layout("json")) == [{"a": 1, "b": None}, {"a": None, "b": 2}]


def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n', encoding="utf-8-sig")
    assert read_rows(path, Layout("json")) == [{"a": 1}]


def test_rows_under_a_field_are_found(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text('{"version": 1, "data": [{"a": 1}]}', encoding="utf-8")
    assert read_rows(path, Layout("json", field="data")) == [{"a": 1}]
    with pytest.raises(BenchmarkError, match="no list of rows under 'rows'"):
        read_rows(path, Layout("json", field="rows"))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.jsonl", b"", "holds no rows"),
        ("a.json", b"[]", "holds no rows"),
        ("a.csv", b"a,b\n", "holds no rows"),
        ("a.csv", b"", "holds no rows"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "line 2 is not json"),
        ("a.json", b'[{"a": 1}', "is not json"),
        ("a.jsonl", b"[1]\n", "record 1 has no named columns, it is of type int"),
        ("a.jsonl", b'{"a": 1}\n3\n', "record 2 has no named columns, it is of type int"),
        ("a.jsonl", b'{"a": "\xff"}\n', "is not UTF-8 text"),
        ("a.csv", b"a,b\n1,2,3\n", "cannot be read as csv"),
        ("a.parquet", b"PAR1 no", "cannot be read as parquet"),
        ("a.jsonl.gz", b"plain", "not a whole gzip file"),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 100, mtime=0)[:-20], "not a whole gzip file"),
        ("a.jsonl", b"[" * 100_000, "nested too deeply|not json"),
        ("a.xlsx", b"", "is of no known kind; legal: .json"),
        ("noname", b"", "is of no known kind; legal: .json"),
    ],
)
def test_a_broken_file_gets_one_sentence(name, content, sentence, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BenchmarkError, match=sentence) as caught:
        read_rows(path, Layout(file_format(path)))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BenchmarkError, match=r"gone\.csv cannot be read: No such file"):
        read_rows(tmp_path / "gone.csv", Layout("csv"))

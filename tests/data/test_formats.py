"""The same rows come out of every file format, packed or not."""

import csv
import gzip
import io
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sftlab.data.reading import read_dataset
from sftlab.study.declaration import DatasetRef

ROWS = [
    {"question": "How many?", "answer": "7"},
    {"question": 'Zwölf Boxkämpfer, "quoted", and a comma', "answer": "two\nlines"},
    {"question": "مرحبا بالعالم", "answer": "👩‍👩‍👧‍👦 e\u0301 \u202eright to left\u202c"},
    {"question": "line separators \u2028 and \u2029 stay", "answer": "tab\there"},
]


def delimited(rows, delimiter: str) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, fieldnames=list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def parquet(rows) -> bytes:
    file = io.BytesIO()
    pl.DataFrame(rows).write_parquet(file)
    return file.getvalue()


WRITERS = {
    "json": lambda rows: json.dumps(rows, ensure_ascii=False, indent=1).encode(),
    "json_ascii": lambda rows: json.dumps(rows).encode(),
    "json_object": lambda rows: json.dumps({"version": 1, "data": rows}).encode(),
    "json_lines_inside": lambda rows: "\n".join(json.dumps(row) for row in rows).encode(),
    "jsonl": lambda rows: "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode(),
    "jsonl_crlf_blank": lambda rows: ("\r\n\r\n".join(json.dumps(row) for row in rows) + "\r\n").encode(),
    "jsonl_list_inside": lambda rows: json.dumps(rows).encode(),
    "jsonl_indented_inside": lambda rows: "\n".join(json.dumps(row, indent=2) for row in rows).encode(),
    "csv": lambda rows: delimited(rows, ","),
    "tsv": lambda rows: delimited(rows, "\t"),
    "parquet": parquet,
}


def texts(dataset) -> list[dict[str, str]]:
    return [{"question": one.turns[0].content, "answer": one.turns[1].content} for one in dataset.examples]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", list(WRITERS))
def test_format_gives_back_the_rows(tmp_path: Path, kind, packed):
    content = WRITERS[kind](ROWS)
    path = tmp_path / f"data.v1.{kind.split('_')[0]}{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(content) if packed else content)
    dataset = read_dataset(DatasetRef(path=str(path)), name="rows")
    assert texts(dataset) == ROWS
    assert not dataset.broken
    assert [example.index for example in dataset.examples] == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", [kind for kind in WRITERS if kind != "parquet"])
def test_byte_order_mark_is_no_part_of_the_data(tmp_path: Path, kind):
    path = tmp_path / f"data.{kind.split('_')[0]}"
    path.write_bytes(b"\xef\xbb\xbf" + WRITERS[kind](ROWS))
    assert texts(read_dataset(DatasetRef(path=str(path)), name="rows")) == ROWS


def test_gzip_is_recognised_whatever_the_file_is_called(tmp_path: Path):
    path = tmp_path / "DATA.JSON"
    path.write_bytes(gzip.compress(WRITERS["json"](ROWS)))
    assert texts(read_dataset(DatasetRef(path=str(path)), name="rows")) == ROWS


def test_parquet_is_recognised_whatever_the_file_is_called(tmp_path: Path):
    path = tmp_path / "part-00000"
    path.write_bytes(parquet(ROWS))
    assert texts(read_dataset(DatasetRef(path=str(path)), name="rows")) == ROWS


@pytest.mark.parametrize("kind", list(WRITERS))
def test_one_row_is_enough(tmp_path: Path, kind):
    path = tmp_path / f"data.{kind.split('_')[0]}"
    path.write_bytes(WRITERS[kind](ROWS[:1]))
    assert texts(read_dataset(DatasetRef(path=str(path)), name="one")) == ROWS[:1]


def test_one_conversation_alone_is_a_row_and_not_a_list_of_messages(tmp_path: Path):
    path = tmp_path / "one.json"
    path.write_text(json.dumps({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}))
    dataset = read_dataset(DatasetRef(path=str(path)), name="one")
    assert [turn.content for turn in dataset.examples[0].turns] == ["q", "a"]


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize("header", [True, False])
def test_named_columns_read_a_file_with_and_without_header(tmp_path: Path, suffix, header):
    mark = "," if suffix == "csv" else "\t"
    lines = [mark.join(("question", "answer", "rationale"))] * header + [mark.join(("Q1", "A1", "R1"))]
    path = tmp_path / f"data.{suffix}"
    path.write_text("\n".join(lines))
    dataset = read_dataset(DatasetRef(path=str(path), columns=("question", "answer", "rationale")), name="flan")
    assert texts(dataset) == [{"question": "Q1", "answer": "A1"}]


def test_unquoted_tsv_keeps_its_quotes(tmp_path: Path):
    path = tmp_path / "data.tsv"
    path.write_text('question\tanswer\n"Hi" said who?\t"Me\nwhat is 5" of rain?\train\n')
    assert texts(read_dataset(DatasetRef(path=str(path)), name="tsv")) == [
        {"question": '"Hi" said who?', "answer": '"Me'},
        {"question": 'what is 5" of rain?', "answer": "rain"},
    ]


def test_tsv_line_breaks_are_read_but_latex_is_left_alone(tmp_path: Path):
    path = tmp_path / "data.tsv"
    path.write_text("question\tanswer\nIs $a \\neq b$?\\n(A) yes\\nnote\t$\\nabla f$ \\theta\n")
    expected = {"question": "Is $a \\neq b$?\n(A) yes\nnote", "answer": "$\\nabla f$ \\theta"}
    assert texts(read_dataset(DatasetRef(path=str(path)), name="tsv")) == [expected]


def test_csv_backslash_n_is_left_alone(tmp_path: Path):
    path = tmp_path / "data.csv"
    path.write_text('question,answer\nprint what?,"print(""a\\nb"")"\n')
    assert texts(read_dataset(DatasetRef(path=str(path)), name="csv"))[0]["answer"] == 'print("a\\nb")'


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "tsv", "parquet"])
def test_record_of_twenty_megabytes_is_read_whole(tmp_path: Path, kind):
    long = "word, " * 3_500_000
    path = tmp_path / f"data.{kind}"
    path.write_bytes(WRITERS[kind]([*ROWS, {"question": "long", "answer": long}]))
    dataset = read_dataset(DatasetRef(path=str(path)), name="long")
    assert dataset.examples[-1].turns[1].content == long
    assert dataset.examples[-1].num_bytes == 21_000_004
    short = read_dataset(DatasetRef(path=str(path), max_bytes=1000), name="long")
    assert [(row.index, row.reason) for row in short.broken] == [(4, "longer than max_bytes (1000)")]
    assert len(short.broken[0].excerpt) <= 80


def test_reading_leaves_the_limit_of_csv_cells_as_it_was(tmp_path: Path):
    path = tmp_path / "data.csv"
    path.write_bytes(WRITERS["csv"](ROWS))
    before = csv.field_size_limit(1000)
    try:
        read_dataset(DatasetRef(path=str(path)), name="csv")
        assert csv.field_size_limit() == 1000
    finally:
        csv.field_size_limit(before)


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)


@pytest.mark.parametrize("kind", ["json", "json_ascii", "jsonl", "csv", "parquet"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.fixed_dictionaries({"question": text, "answer": text}), min_size=1, max_size=5))
def test_any_text_survives(tmp_path: Path, kind, rows):
    path = tmp_path / f"data.{kind.split('_')[0]}"
    path.write_bytes(WRITERS[kind](rows))
    dataset = read_dataset(DatasetRef(path=str(path)), name="any")
    assert texts(dataset) == rows

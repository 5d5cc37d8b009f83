"""Each wrong input and the one sentence that it gets."""

import gzip
import json
from pathlib import Path

import pytest

from sftlab.data.reading import read_dataset
from sftlab.errors import DataError
from sftlab.study.declaration import DatasetRef

QA = json.dumps([{"question": "q", "answer": "a"}])
KNOWN = (
    "(messages (a list of messages); conversations (a list of messages); instruction, output or response, optionally "
    "input; question, answer; prompt, completion or response; context, answer; data (a list of messages); text)"
)
SPELL_OUT = "say which asks and which answers with `prompt: NAME` and `response: NAME`"

# file, its content, how the study refers to it, the sentence after "the dataset mine (FILE)"
WRONG = [
    ("none.json", None, {}, " does not exist: `path` names a json, jsonl, csv, tsv or parquet file"),
    ("", None, {}, " is a folder: `path` names one json, jsonl, csv, tsv or parquet file in it"),
    ("d.json", "", {}, " is empty: it needs at least one row; was it written to its end?"),
    ("d.csv", "\ufeff\r\n \n", {}, " is empty: it needs at least one row; was it written to its end?"),
    ("d.json", "[]", {}, " holds no rows"),
    ("d.json", '{"data": []}', {}, " holds no rows"),
    ("d.csv", "question,answer\n", {}, " holds no rows"),
    ("d.json", "3", {}, " holds a number: legal is a list of objects"),
    ("d.json", '"text"', {}, " holds text: legal is a list of objects"),
    ("d.json", "hello", {}, " is not JSON: not valid JSON (Expecting value)"),
    ("d.json", '[{"question": "q', {}, " is not JSON: not valid JSON (Unterminated string starting at)"),
    ("d.json", "[" * 200_000, {}, " is not JSON: nested too deeply"),
    (
        "d.json",
        '{"train": [], "test": []}',
        {},
        " holds an object with the lists train, test: legal is a list of objects, or an object with one list",
    ),
    ("d.json", '{"a": 1}', {}, " holds an object with no list: legal is a list of objects, or an object with one list"),
    (
        "d.json",
        '["a", "b"]',
        {},
        ": none of its 2 rows can be used: the row is text, not an object (2); row 0 is 'a'",
    ),
    (
        "d.jsonl",
        "nonsense\n",
        {},
        ": none of its 1 rows can be used: not valid JSON (Expecting value) (1); row 0 is 'nonsense'",
    ),
    (
        "d.jsonl",
        '{"question": "q", "answer": ""}\n{"question": "", "answer": "a"}\n{"question": "q", "answer": ""}',
        {},
        ": none of its 3 rows can be used: empty response (2), empty prompt (1); row 0 is 'question: q, answer:'",
    ),
    (
        "d.jsonl",
        '{"q": "x", "a": "y"}',
        {},
        f" has the columns 'q', 'a', which is no known shape {KNOWN}: {SPELL_OUT}",
    ),
    (
        "d.tsv",
        "What?\t(C)\tBecause\nWho?\t(A)\tWhy\n",
        {},
        " has a first line that names no known columns ('What?', '(C)', 'Because'): if it is no header, name the "
        f"columns with `columns: [question, answer, column_3]`, else {SPELL_OUT}",
    ),
    (
        "d.csv",
        "x,y\n",
        {"columns": ("left", "right")},
        f" has the columns 'left', 'right', which is no known shape {KNOWN}: {SPELL_OUT}",
    ),
    (
        "d.csv",
        "x,y\n",
        {"columns": ("question", "answer", "rationale")},
        ": none of its 1 rows can be used: 2 cells where 3 columns are (1); row 0 is 'x, y'",
    ),
    (
        "d.csv",
        "a,b,a\n1,2,3\n",
        {},
        " has two columns named 'a' in its first line: name each once, or, if that line is no header, write "
        "`columns: [...]` with a name for each",
    ),
    (
        "d.csv",
        '"question,answer\nq,a\n',
        {},
        " cannot be read from its first line on: a quote opened in line 1 is never closed: 2 lines are lost",
    ),
    (
        "d.json",
        QA,
        {"columns": ("question", "answer")},
        " has named columns: `columns` is for csv and tsv files without a header line",
    ),
    (
        "d.json",
        QA,
        {"prompt": "Q", "response": "answer"},
        " has no column 'Q' for `prompt`: it has 'question', 'answer'",
    ),
    ("d.json", QA, {"system": "persona"}, " has no column 'persona' for `system`: it has 'question', 'answer'"),
    (
        "d.json",
        QA,
        {"prompt": "question"},
        " names `prompt: question`: legal are `prompt` and `response` (with or without `input`), or `messages` alone, "
        "or `text` alone",
    ),
    (
        "d.json",
        QA,
        {"messages": "m", "text": "t"},
        " names `messages: m`, `text: t`: legal are `prompt` and `response` (with or without `input`), or `messages` "
        "alone, or `text` alone",
    ),
    (
        "d.xlsx",
        "PK",
        {},
        " is a .xlsx file: legal are .json, .jsonl, .ndjson, .csv, .tsv, .parquet, each optionally with .gz",
    ),
    (
        "data",
        "PK",
        {},
        " is a file without a suffix: legal are .json, .jsonl, .ndjson, .csv, .tsv, .parquet, each optionally with .gz",
    ),
    ("d.csv", "question,answer\nq,a\n".encode("utf-16"), {}, " is UTF-16: save it as UTF-8"),
    (
        "d.json.gz",
        gzip.compress(QA.encode() * 50, mtime=0)[:-12],
        {},
        " is a damaged or cut off gzip file: pack or download it again",
    ),
]


@pytest.mark.parametrize(("file", "content", "reference", "sentence"), WRONG)
def test_wrong_input_is_told_in_one_sentence(tmp_path: Path, file, content, reference, sentence):
    path = tmp_path / file if file else tmp_path
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as told:
        read_dataset(DatasetRef(path=str(path), **reference), name="mine")
    assert str(told.value) == f"the dataset mine ({path}){sentence}"


def test_parquet_that_is_cut_off_is_told(tmp_path: Path):
    path = tmp_path / "d.parquet"
    path.write_bytes(b"PAR1" + b"\0" * 100)
    with pytest.raises(DataError, match="is not a whole parquet file: "):
        read_dataset(DatasetRef(path=str(path)), name="mine")


def test_many_columns_are_not_all_listed(tmp_path: Path):
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps({f"c{place}": "x" for place in range(50)}))
    with pytest.raises(DataError, match=r"'c11' and 38 more, which"):
        read_dataset(DatasetRef(path=str(path)), name="mine")

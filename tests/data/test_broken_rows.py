"""Rows that cannot be used are counted with a reason; the others are read."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sftlab.data.reading import read_dataset
from sftlab.errors import DataError
from sftlab.study.declaration import DatasetRef

GOOD = {"question": "q", "answer": "a"}


def read(tmp_path: Path, file: str, content: str | bytes, **reference):
    path = tmp_path / file
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_dataset(DatasetRef(path=str(path), **reference), name="rows")


def kept(dataset) -> list[int]:
    return [example.index for example in dataset.examples]


def reasons(dataset) -> list[tuple[int, str]]:
    return [(row.index, row.reason) for row in dataset.broken]


BROKEN_LINES = [
    ('{"question": "q", "answer": ', "not valid JSON (Expecting value)"),
    ('{"question": "q", "answer": "\0"}', "not valid JSON (Invalid control character at)"),
    (r'{"question": "q", "answer": "a\u0000"}', "a NUL byte in the text"),
    (r'{"question": "q", "answer": "\ud83d"}', "not valid UTF-8"),
    (b'{"question": "q", "answer": "caf\xe9"}', "not valid UTF-8"),
    ("[1, 2]", "the row is a list, not an object"),
    ("17", "the row is a number, not an object"),
    ("null", "the row is null, not an object"),
    ('"text"', "the row is text, not an object"),
    ('{"question": 5, "answer": "a"}', "`question` is a number, not text"),
    ('{"question": ["q"], "answer": "a"}', "`question` is a list, not text"),
    ('{"question": true, "answer": "a"}', "`question` is true or false, not text"),
    ('{"question": null, "answer": "a"}', "empty prompt"),
    ('{"question": " \\n", "answer": "a"}', "empty prompt"),
    ('{"question": "q", "answer": null}', "empty response"),
    ('{"question": "q", "answer": "\\t"}', "empty response"),
    ('{"question": "q", "answer": []}', "empty response"),
    ('{"question": "q", "answer": [null]}', "empty response"),
    ('{"question": "q", "answer": {"text": "a"}}', "`answer` is an object, not text"),
    ('{"question": "q", "answer": [["a"]]}', "`answer` is a list, not text"),
    ('{"question": "q", "answer": NaN}', "`answer` is a number, not text"),
    ('{"question": "q", "answer": ' + "1" * 5000 + "}", "a number with too many digits"),
    ('{"question": ' + "[" * 200_000 + "}", "nested too deeply"),
    ('{"question": "q"}', "not of the shape of the first rows: question, answer"),
    ('{"question": "q", "answer": "a", "history": [["q"]]}', "`history` is not a list of pairs of question and answer"),
]


@pytest.mark.parametrize(("line", "reason"), BROKEN_LINES)
def test_broken_line_costs_one_row(tmp_path: Path, line, reason):
    good = json.dumps(GOOD).encode()
    dataset = read(tmp_path, "rows.jsonl", b"\n".join([good, line.encode() if isinstance(line, str) else line, good]))
    assert kept(dataset) == [0, 2]
    assert reasons(dataset) == [(1, reason)]
    assert dataset.num_rows == 3
    assert dataset.broken[0].excerpt.isprintable()
    assert len(dataset.broken[0].excerpt) <= 80


def message(role: str, content: object) -> dict[str, object]:
    return {"role": role, "content": content}


BROKEN_CONVERSATIONS = [
    ([], "no answer of the assistant"),
    ([message("user", "q")], "no answer of the assistant"),
    ([message("system", "s")], "no answer of the assistant"),
    ([message("assistant", "a")], "the roles are in an impossible order: assistant where user is due"),
    (
        [message("user", "q"), message("user", "q"), message("assistant", "a")],
        "the roles are in an impossible order: user where assistant is due",
    ),
    (
        [message("user", "q"), message("assistant", "a"), message("assistant", "a")],
        "the roles are in an impossible order: assistant where user is due",
    ),
    (
        [message("user", "q"), message("system", "s"), message("assistant", "a")],
        "the roles are in an impossible order: system where assistant is due",
    ),
    ([message("user", ""), message("assistant", "a")], "empty prompt"),
    ([message("user", "q"), message("assistant", " ")], "empty response"),
    ([message("user", "q"), message("tool", "x")], "a message in `messages` has an unknown role: tool"),
    ([message("user", None), message("assistant", "a")], "the content of a message in `messages` is null, not text"),
    (
        [message("user", [{"type": "image", "url": "x"}]), message("assistant", "a")],
        "the content of a message in `messages` is a list, not text",
    ),
    ("[{", "`messages` is not valid JSON"),
]


@pytest.mark.parametrize(("messages", "reason"), BROKEN_CONVERSATIONS)
def test_impossible_conversation_is_broken(tmp_path: Path, messages, reason):
    good = {"messages": [message("user", "q"), message("assistant", "a")]}
    rows = [good, {"messages": messages}]
    dataset = read(tmp_path, "rows.jsonl", "\n".join(json.dumps(row) for row in rows))
    assert reasons(dataset) == [(1, reason)]


def test_json_that_is_cut_off_inside_a_row_is_refused_until_it_is_closed(tmp_path: Path):
    whole = json.dumps([{"question": f"q{place}", "answer": "a"} for place in range(5)], indent=2)
    cut = whole[: whole.index("q4") + 1]
    with pytest.raises(DataError, match="is cut off: it ends inside row 4, after 4 whole ones"):
        read(tmp_path, "rows.json", cut)
    assert kept(read(tmp_path, "rows.json", cut[: cut.rindex("{")] + "]")) == [0, 1, 2, 3]


def test_json_that_is_cut_off_between_rows_gives_all_of_them(tmp_path: Path):
    assert kept(read(tmp_path, "rows.json", json.dumps([GOOD, GOOD])[:-1])) == [0, 1]


def test_json_object_around_the_list_may_be_cut_off_too(tmp_path: Path):
    whole = json.dumps({"version": "1", "n": 3, "data": [GOOD, GOOD, GOOD]})
    with pytest.raises(DataError, match="ends inside row 2"):
        read(tmp_path, "rows.json", whole[:-10])


BROKEN_ELEMENTS = [
    '{"question": "q" "answer": "a"}',
    '{"question": "q", "answer": "a" "b"}',
    '{"question": "q", "answer": a}',
    '{"question": "q", "answer": "new\nline"}',
    '{"question": "un"quoted" q", "answer": "a"}',
    '{"question": "q", "answer": ' + "1" * 5000 + "}",
]


@pytest.mark.parametrize("element", BROKEN_ELEMENTS)
def test_json_with_a_broken_element_gives_the_others(tmp_path: Path, element):
    good = json.dumps(GOOD)
    dataset = read(tmp_path, "rows.json", f"[{good},\n {element},\n {good}, {good}]")
    assert kept(dataset) == [0, 2, 3]
    assert [row.index for row in dataset.broken] == [1]


def test_json_broken_within_a_conversation_goes_on_at_the_next_conversation(tmp_path: Path):
    talk = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    good = json.dumps({"id": 1, "conversations": talk})
    bad = good.replace('"value": "q"', '"value": q')
    dataset = read(tmp_path, "rows.json", f"[{good}, {bad}, {good}]")
    assert kept(dataset) == [0, 2]


def test_json_whose_last_element_is_broken_is_not_called_cut_off(tmp_path: Path):
    dataset = read(tmp_path, "rows.json", f"[{json.dumps(GOOD)}, {BROKEN_ELEMENTS[0]}]")
    assert reasons(dataset) == [(1, "not valid JSON (Expecting ',' delimiter)")]


def test_json_elements_that_are_no_objects_are_broken(tmp_path: Path):
    dataset = read(tmp_path, "rows.json", json.dumps([GOOD, 5, None, GOOD]))
    assert reasons(dataset) == [(1, "the row is a number, not an object"), (2, "the row is null, not an object")]


BROKEN_CSV_LINES = [
    ("only one cell", "1 cells where 2 columns are"),
    ("q,a,more", "3 cells where 2 columns are"),
    ('"q" quoted,a', "text after a closing quote: a quote within a quoted cell is written twice"),
    ("q,", "empty response"),
    (",a", "empty prompt"),
    ("q,a\0", "a NUL byte in the text"),
    (b"caf\xe9,a", "not valid UTF-8"),
]


@pytest.mark.parametrize(("line", "reason"), BROKEN_CSV_LINES)
def test_broken_csv_line_costs_one_row(tmp_path: Path, line, reason):
    content = b"\n".join([b"question,answer", b"q,a", line.encode() if isinstance(line, str) else line, b"q,a", b""])
    dataset = read(tmp_path, "rows.csv", content)
    assert kept(dataset) == [0, 2]
    assert reasons(dataset) == [(1, reason)]


def test_quote_that_is_never_closed_says_what_it_costs(tmp_path: Path):
    dataset = read(tmp_path, "rows.csv", 'question,answer\nq,a\n"open,a\nq,a\nq,a\n')
    assert kept(dataset) == [0]
    assert reasons(dataset) == [(1, "a quote opened in line 3 is never closed: 3 lines are lost")]


def test_byte_count_is_of_utf8_and_of_all_turns(tmp_path: Path):
    rows = "\n".join(json.dumps({"question": "é", "answer": "a" * count}) for count in (8, 9))
    dataset = read(tmp_path, "rows.jsonl", rows, max_bytes=10)
    assert [example.num_bytes for example in dataset.examples] == [10]
    assert reasons(dataset) == [(1, "longer than max_bytes (10)")]


WHOLE = {
    "json": json.dumps([GOOD] * 4).encode(),
    "jsonl": b"\n".join([json.dumps(GOOD).encode()] * 4),
    "csv": b"question,answer\n" + b'"q, x",a\n' * 4,
    "tsv": b"question\tanswer\n" + b"q\ta\n" * 4,
    "parquet": b"PAR1",
}


@pytest.mark.parametrize("kind", list(WHOLE))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_file_gives_rows_or_one_sentence(tmp_path: Path, kind, data):
    whole = WHOLE[kind]
    start = data.draw(st.integers(0, len(whole)))
    junk = data.draw(
        st.binary(max_size=12) | st.sampled_from([b"[", b"]", b"{", b"}", b'"', b"\\", b",", b"\n", b"\r"])
    )
    damaged = whole[:start] + junk + whole[start + data.draw(st.integers(0, 12)) :]
    try:
        dataset = read(tmp_path, f"rows.{kind}", damaged)
    except DataError:
        return
    assert dataset.examples
    indices = sorted([*kept(dataset), *(row.index for row in dataset.broken)])
    assert indices == list(range(dataset.num_rows))

"""Texts by which models are compared, from a file of one's own."""

import json

import pytest

from sftlab.data.probe import probe_texts, texts_digest
from sftlab.errors import DataError
from sftlab.study.declaration import ProbeTexts


def written(path, rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def given(path, column="text"):
    return ProbeTexts(data=str(path), column=column)


def test_texts_are_the_column_of_the_file_in_its_order(tmp_path):
    path = written(tmp_path / "own.jsonl", [{"line": text, "n": 1} for text in ("one", "zwei \u00fc", "three")])
    found = probe_texts(given(path, "line"))
    assert [(one.name, one.text, one.domain) for one in found] == [
        ("0", "one", None),
        ("1", "zwei \u00fc", None),
        ("2", "three", None),
    ]


def test_digest_is_of_the_texts_and_not_of_their_file(tmp_path):
    texts = ["one", "two", "three"]
    lines = probe_texts(given(written(tmp_path / "a.jsonl", [{"text": text} for text in texts])))
    (tmp_path / "b.csv").write_text("text,other\n" + "".join(f"{text},1\n" for text in texts))
    assert texts_digest(probe_texts(given(tmp_path / "b.csv"))) == texts_digest(lines)
    turned = written(tmp_path / "c.jsonl", [{"text": text} for text in reversed(texts)])
    assert texts_digest(probe_texts(given(turned))) != texts_digest(lines)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"text": "one"}, {"text": "two"}], "2 texts, and at least 3 are needed"),
        ([{"text": "one"}, {"text": ""}, {"text": "three"}], "row 1 has no text there"),
        ([{"line": "one"}] * 3, "row 0 has the columns line, and needs a text in the column 'text'"),
    ],
)
def test_texts_that_cannot_compare_models_are_refused(tmp_path, rows, said):
    with pytest.raises(DataError, match=said):
        probe_texts(given(written(tmp_path / "own.jsonl", rows)))


def test_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"gone\.jsonl"):
        probe_texts(given(tmp_path / "gone.jsonl"))

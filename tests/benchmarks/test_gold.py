"""Gold answers of any prompt/answer file."""

import json

import pytest

from sftlab.benchmarks.loading import benchmark_digest, load_benchmark
from sftlab.errors import BenchmarkError
from sftlab.study.declaration import BenchmarkRef

from .witness import write_jsonl


def load(folder, name, **fields):
    return load_benchmark(BenchmarkRef(name="own", data=name, **fields), folder=folder)


@pytest.mark.parametrize(
    ("row", "context", "gold"),
    [
        ({"question": "q", "answer": "a"}, "q", "a"),
        ({"answer": "a", "id": 4, "question": "q"}, "q", "a"),
        ({"prompt": "q", "response": "a"}, "q", "a"),
        ({"prompt": "q", "completion": "a"}, "q", "a"),
        ({"prompt": "q", "test": ["t"], "code": "a\r\nb"}, "q", "a\r\nb"),
        ({"instruction": "q", "input": "more", "output": "a"}, "q\nmore", "a"),
        ({"instruction": "q", "input": "", "output": "a"}, "q", "a"),
        ({"instruction": "q", "output": "a"}, "q", "a"),
        ({"instruction": "q", "input": "more", "response": "a"}, "q\nmore", "a"),
        ({"problem": "q", "solution": "a", "answer": "b"}, "q", "a"),
        ({"context": "q", "answer": "a", "aliases": []}, "q", "a"),
        ({"question": "q", "answer": 7}, "q", "7"),
        ({"question": " q ", "answer": " a "}, " q ", " a "),
    ],
)
def test_known_columns_are_recognised(row, context, gold, tmp_path):
    write_jsonl(tmp_path / "rows.jsonl", [row])
    own = load(tmp_path, "rows.jsonl")
    assert (own.items[0].context, own.items[0].gold) == (context, (f" {gold}",))
    assert own.scorers == ("likelihood",)


def test_stated_columns_win(tmp_path):
    write_jsonl(
        tmp_path / "rows.jsonl", [{"instruction": "q", "input": "i", "output": "a", "problem": "p", "answer": "b"}]
    )
    assert load(tmp_path, "rows.jsonl", prompt="problem").items[0].gold == (" b",)
    assert load(tmp_path, "rows.jsonl", prompt="instruction", response="problem").items[0].gold == (" p",)
    assert load(tmp_path, "rows.jsonl", prompt="instruction").items[0].context == "q"
    assert load(tmp_path, "rows.jsonl", response="output").items[0].context == "q\ni"


def test_aliases_are_kept_and_the_first_answer_leads(tmp_path):
    write_jsonl(tmp_path / "rows.jsonl", [{"question": "q", "answer": ["", "14 December", "December"]}])
    own = load(tmp_path, "rows.jsonl", scorers=("generative",))
    assert own.items[0].gold == (" 14 December", " December")
    assert own.read(own.items[0], " december.").score == 1.0
    assert own.stops == ("\n",)


def test_rows_without_question_or_answer_are_counted(tmp_path):
    rows = [
        {"question": q, "answer": a}
        for q, a in (("q", "a"), ("", "a"), (None, "a"), ("q", ""), ("q", []), (["q"], "a"))
    ]
    write_jsonl(tmp_path / "rows.jsonl", [*rows, {"question": "last", "answer": "a"}])
    own = load(tmp_path, "rows.jsonl")
    assert own.skipped == 5
    assert [item.item for item in own.items] == ["0", "6"]
    assert [item.item for item in load(tmp_path, "rows.jsonl", items=2).items] == ["0", "6"]


def test_nothing_left_is_an_error_with_the_count(tmp_path):
    write_jsonl(tmp_path / "rows.jsonl", [{"question": "q", "answer": ""}] * 3)
    with pytest.raises(BenchmarkError, match="none of the 3 rows"):
        load(tmp_path, "rows.jsonl")


@pytest.mark.parametrize(
    ("name", "count", "gold"), [("nq_open_dev", 3610, 2), ("mbpp_test", 500, 1), ("gsm8k_test", 1319, 1)]
)
def test_published_files_load_as_they_are(name, count, gold, shared):
    own = load(shared / "data/bench", f"{name}.jsonl")
    lines = (shared / f"data/bench/{name}.jsonl").read_text(encoding="utf-8").split("\n")
    first = json.loads(lines[0])
    answer = first.get("code") or first["answer"]
    assert len(own.items) == count
    assert own.skipped == 0
    assert own.items[0].gold[0] == f" {answer if isinstance(answer, str) else answer[0]}"
    assert len(own.items[0].gold) == gold


def test_digest_follows_content_and_columns_not_places(tmp_path):
    for folder in ("one", "two"):
        write_jsonl(tmp_path / folder / "rows.jsonl", [{"question": "q", "answer": "a"}])
    ref = BenchmarkRef(name="own", data="rows.jsonl")
    one, two = (benchmark_digest(ref, folder=tmp_path / folder) for folder in ("one", "two"))
    assert one == two == load_benchmark(ref, folder=tmp_path / "one").digest
    assert benchmark_digest(ref.model_copy(update={"prompt": "answer"}), folder=tmp_path / "one") != one
    assert benchmark_digest(ref, folder=tmp_path / "one", items=1) != one
    write_jsonl(tmp_path / "two/rows.jsonl", [{"question": "q", "answer": "b"}])
    assert benchmark_digest(ref, folder=tmp_path / "two") != one

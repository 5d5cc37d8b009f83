"""Every shape, recognised by its columns or spelled out."""

import json
from pathlib import Path

import polars as pl
import pytest

from sftlab.data.reading import read_dataset
from sftlab.data.shapes import SHAPES
from sftlab.study.declaration import DatasetRef

USER, BOT = "user", "assistant"


def chat(*contents: str, system: str | None = None) -> list[dict[str, str]]:
    spoken = [{"role": BOT if place % 2 else USER, "content": text} for place, text in enumerate(contents)]
    return [{"role": "system", "content": system}, *spoken] if system is not None else spoken


def share_gpt(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"from": name, "value": text} for name, text in pairs]


def read(tmp_path: Path, *rows, **reference):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return read_dataset(DatasetRef(path=str(path), **reference), name="rows")


def turns(dataset, place: int = 0) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in dataset.examples[place].turns]


ASKED = [(USER, "q"), (BOT, "a")]
RECOGNISED = [
    ("instruction", {"instruction": "q", "input": "", "output": "a"}, ASKED),
    ("instruction", {"instruction": "q", "output": "a"}, ASKED),
    ("instruction", {"instruction": "q", "input": None, "output": "a"}, ASKED),
    ("instruction", {"instruction": "q", "input": "i", "output": "a"}, [(USER, "q\ni"), (BOT, "a")]),
    ("instruction", {"instruction": "q", "input": "i", "response": "a"}, [(USER, "q\ni"), (BOT, "a")]),
    ("instruction", {"instruction": "", "input": "i", "output": "a"}, [(USER, "i"), (BOT, "a")]),
    ("instruction", {"instruction": "q", "input": "", "output": "a", "answer": "x"}, ASKED),
    (
        "instruction",
        {"instruction": "q", "context": "c", "response": "a", "category": "k"},
        [(USER, "q\nc"), (BOT, "a")],
    ),
    (
        "instruction",
        {"instruction": "q", "output": "a", "system": "s", "history": [["q0", "a0"]]},
        [("system", "s"), (USER, "q0"), (BOT, "a0"), *ASKED],
    ),
    ("question_answer", {"question": "q", "answer": "a"}, ASKED),
    ("question_answer", {"question": "q", "answer": "a", "rationale": "r"}, ASKED),
    ("question_answer", {"context": "c", "question": "q", "answer": "a"}, [(USER, "c\nq"), (BOT, "a")]),
    ("question_answer", {"system_prompt": "s", "question": "q", "response": "a"}, [("system", "s"), *ASKED]),
    ("question_answer", {"question": "q", "answer": ["a", "b"]}, ASKED),
    ("question_answer", {"question": "q", "answer": 72}, [(USER, "q"), (BOT, "72")]),
    ("question_answer", {"question": "q", "answer": 0.5}, [(USER, "q"), (BOT, "0.5")]),
    ("question_answer", {"question": "q", "answer": [7]}, [(USER, "q"), (BOT, "7")]),
    ("question_answer", {"question": "q", "answer": False}, [(USER, "q"), (BOT, "false")]),
    ("prompt_completion", {"prompt": "q", "completion": "a"}, ASKED),
    ("prompt_completion", {"prompt": "q", "response": "a"}, ASKED),
    ("prompt_completion", {"prompt": chat("q"), "completion": [{"role": BOT, "content": "a"}]}, ASKED),
    ("context_answer", {"context": "q", "answer": "a", "aliases": []}, ASKED),
    ("messages", {"messages": chat("q", "a")}, ASKED),
    ("messages", {"prompt": "q", "messages": chat("q", "a", system="s")}, [("system", "s"), *ASKED]),
    ("messages", {"messages": chat("q", "a", system="")}, ASKED),
    ("messages", {"messages": json.dumps(chat("q", "a"))}, ASKED),
    (
        "messages",
        {"messages": [{"role": USER, "content": [{"type": "text", "text": "q"}]}, *chat("q", "a")[1:]]},
        ASKED,
    ),
    ("messages", {"messages": chat("q", "a", "q2", "a2", "q3")}, [*ASKED, (USER, "q2"), (BOT, "a2")]),
    ("sharegpt", {"conversations": share_gpt(("human", "q"), ("gpt", "a"))}, ASKED),
    ("sharegpt", {"conversations": share_gpt(("user", "q"), ("chatgpt", "a"))}, ASKED),
    ("sharegpt", {"conversations": share_gpt(("Human", "q"), ("bing", "a"), ("human", "?"))}, ASKED),
    (
        "sharegpt",
        {"conversations": share_gpt(("system", "s"), ("human", "q"), ("bard", "a"))},
        [("system", "s"), *ASKED],
    ),
    (
        "sharegpt",
        {"system": "s", "conversations": share_gpt(("human", "q"), ("assistant", "a"))},
        [("system", "s"), *ASKED],
    ),
    ("sharegpt", {"conversations": ["q", "a"], "source": "lima"}, ASKED),
    ("ultrachat", {"id": "0", "data": ["q", "a"]}, ASKED),
    ("text", {"text": "t", "source": "s"}, [(BOT, "t")]),
    ("instruction", {"Instruction": "q", " Output ": "a"}, ASKED),
]


@pytest.mark.parametrize(("shape", "row", "expected"), RECOGNISED)
def test_row_is_recognised_by_its_columns(tmp_path: Path, shape, row, expected):
    dataset = read(tmp_path, row)
    assert (dataset.shape, turns(dataset)) == (shape, expected)


def test_every_registered_shape_is_recognised_somewhere_above():
    assert {shape for shape, _, _ in RECOGNISED} == {shape.name for shape in SHAPES}


def test_texts_are_kept_as_they_are(tmp_path: Path):
    assert turns(read(tmp_path, {"question": "  q\r\n", "answer": "\na \u00a0"})) == [
        (USER, "  q\r\n"),
        (BOT, "\na \u00a0"),
    ]


SPELLED_OUT = [
    ({"prompt": "ask", "response": "say"}, {"ask": "q", "say": "a", "question": "x", "answer": "y"}, ASKED),
    ({"prompt": "question", "response": "rationale"}, {"question": "q", "answer": "x", "rationale": "a"}, ASKED),
    ({"prompt": "p", "input": "i", "response": "r"}, {"p": "q", "i": "more", "r": 3}, [(USER, "q\nmore"), (BOT, "3")]),
    ({"messages": "talk"}, {"talk": chat("q", "a"), "messages": chat("x", "y")}, ASKED),
    ({"text": "answer"}, {"question": "q", "answer": "a"}, [(BOT, "a")]),
    ({"system": "persona"}, {"question": "q", "answer": "a", "persona": "p", "system": "s"}, [("system", "p"), *ASKED]),
    ({"system": "Persona"}, {"Question": "q", "Answer": "a", "Persona": "p"}, [("system", "p"), *ASKED]),
    ({"prompt": "p", "response": "r", "system": "s"}, {"p": "q", "r": "a", "s": "s"}, [("system", "s"), *ASKED]),
    ({"prompt": "p", "response": "r", "system": "s"}, {"p": "q", "r": "a", "s": None}, ASKED),
]


@pytest.mark.parametrize(("reference", "row", "expected"), SPELLED_OUT)
def test_named_columns_win(tmp_path: Path, reference, row, expected):
    assert turns(read(tmp_path, row, **reference)) == expected


FIRST_TURNS = [
    (chat("q", "a", "q2", "a2"), ASKED),
    (chat("q", "a", "q2"), ASKED),
    (chat("q", "a", "q2", ""), ASKED),
    (chat("q", "a", "q2", "a2", system="s"), [("system", "s"), *ASKED]),
]


@pytest.mark.parametrize(("messages", "expected"), FIRST_TURNS)
def test_first_turn_only_keeps_the_first_answer(tmp_path: Path, messages, expected):
    assert turns(read(tmp_path, {"messages": messages}, turns="first")) == expected


def test_first_rows_decide_and_another_shape_is_broken(tmp_path: Path):
    rows = [{"x": 1}, *[{"question": "q", "answer": "a"}] * 3, {"text": "t"}, {"instruction": "q", "output": "a"}]
    dataset = read(tmp_path, *rows)
    assert dataset.shape == "question_answer"
    assert [example.index for example in dataset.examples] == [1, 2, 3]
    assert [row.index for row in dataset.broken] == [0, 4, 5]
    assert {row.reason for row in dataset.broken} == {"not of the shape of the first rows: question, answer"}


def test_nested_columns_of_parquet_are_conversations(tmp_path: Path):
    path = tmp_path / "talk.parquet"
    pl.DataFrame({"messages": [chat("q", "a"), chat("q", "a", "q2", "a2")], "score": [0.5, None]}).write_parquet(path)
    dataset = read_dataset(DatasetRef(path=str(path)), name="talk")
    assert dataset.shape == "messages"
    assert [len(example.turns) for example in dataset.examples] == [2, 4]

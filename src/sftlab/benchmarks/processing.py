"""The functions that a task file may name after `!function`: code comes with sftlab, never with a task file."""

from collections.abc import Callable

from sftlab.benchmarks.rows import Row
from sftlab.errors import BenchmarkError

LETTERS = "ABCD"


def options_as_choices(row: Row) -> Row:
    """MMLU as its authors published it (columns A, B, C, D and a letter) as the hub has it (choices and an index)."""
    if "choices" in row:
        return row
    if row["answer"] not in LETTERS:
        raise BenchmarkError(f"the answer is one of the letters {', '.join(LETTERS)}, got {row['answer']!r}")
    kept = {key: value for key, value in row.items() if key not in LETTERS}
    choices = [row[letter] or "" for letter in LETTERS]
    return {**kept, "choices": choices, "answer": LETTERS.index(row["answer"])}


def passage_and_question(row: Row) -> Row:
    """BoolQ with the passage inside the query as the hub has it (passage, question, label)."""
    if "query" not in row:
        return row
    passage, mark, question = str(row["query"]).rpartition("\nQuestion: ")
    if not mark or not passage.startswith("Passage: ") or not question.endswith("?"):
        raise BenchmarkError("a query is 'Passage: ...', a line break and 'Question: ...?'")
    return {"passage": passage.removeprefix("Passage: "), "question": question[:-1], "label": row["gold"]}


PROCESSING: dict[str, Callable[[Row], Row]] = {
    f"processing.{function.__name__}": function for function in (options_as_choices, passage_and_question)
}

"""Passages, stems and endings as the harness' templates want them."""

import re

from sftlab.benchmarks.rows import Row
from sftlab.errors import BenchmarkError


def passage_and_question(row: Row) -> Row:
    """BoolQ with the passage inside the query as the hub has it (passage, question, label)."""
    if "query" not in row:
        return row
    passage, mark, question = str(row["query"]).rpartition("\nQuestion: ")
    if not mark or not passage.startswith("Passage: ") or not question.endswith("?"):
        raise BenchmarkError("a query is 'Passage: ...', a line break and 'Question: ...?'")
    return {"passage": passage.removeprefix("Passage: "), "question": question[:-1], "label": row["gold"]}


def stem_and_endings(row: Row) -> Row:
    """HellaSwag as published, with the text cleaned of WikiHow's marks as lm-evaluation-harness (MIT) does.

    `source_id` is the video or the article that a context is from, None where the data do not say.
    """
    context = f"{row['ctx_a']} {row['ctx_b'].capitalize()}"
    return {
        "query": _cleaned(f"{row['activity_label']}: {context}"),
        "choices": [_cleaned(ending) for ending in row["endings"]],
        "gold": int(row["label"]),
        "source_id": row.get("source_id"),
    }


def _cleaned(text: str) -> str:
    bare = re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))
    return bare.replace("  ", " ")

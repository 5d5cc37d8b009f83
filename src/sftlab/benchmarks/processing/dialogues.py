"""Dialogues, as their authors and the hub have them."""

from sftlab.benchmarks.rows import Row
from sftlab.errors import BenchmarkError

NEED_REFERENCES = frozenset({"math", "reasoning", "coding"})
"""Categories of MT-Bench whose judge sees a reference answer."""


def two_turns(row: Row) -> Row:
    """MT-Bench as `prompt`, `follow_ups` and `reference`: lists of one text a turn, empty where there is none."""
    turns = row["turns"] if row.get("turns") is not None else row["prompt"]
    if not isinstance(turns, list) or len(turns) != 2 or not all(isinstance(turn, str) for turn in turns):
        raise BenchmarkError(f"a question of MT-Bench has two turns, got {turns!r:.60}")
    references = row.get("reference") or []
    if row["category"] not in NEED_REFERENCES:
        references = []
    elif len(references) != len(turns) or not all(references):
        raise BenchmarkError(f"a question of {row['category']} needs a reference answer to each turn, and has none")
    return {
        "prompt": turns[0],
        "follow_ups": turns[1:],
        "reference": references or [""] * len(turns),
        "category": row["category"],
    }

"""Questions of examinations with four options, as their authors published them."""

from sftlab.benchmarks.rows import Row
from sftlab.benchmarks.subjects import CMMLU_SUBJECTS
from sftlab.errors import BenchmarkError

LETTERS = "ABCD"


def options_as_choices(row: Row) -> Row:
    """MMLU as its authors published it (columns A, B, C, D and a letter) as the hub has it (choices and an index)."""
    if "choices" in row:
        return row
    kept = {key: value for key, value in row.items() if key not in LETTERS}
    choices = [row[letter] or "" for letter in LETTERS]
    return {**kept, "choices": choices, "answer": _number(row["answer"])}


def headed_options(row: Row) -> Row:
    """CMMLU and MMMLU (columns Question, A, B, C, D, Answer and perhaps Subject) in the columns of the hub's MMLU."""
    subject = row.get("subject") or row.get("Subject")
    named = {} if subject is None else {"subject": subject, "subject_name": CMMLU_SUBJECTS.get(str(subject), subject)}
    choices = [row[letter] or "" for letter in LETTERS]
    return {"question": row["Question"], "choices": choices, "answer": _number(row["Answer"]), **named}


def _number(letter: object) -> int:
    if not isinstance(letter, str) or len(letter) != 1 or letter not in LETTERS:
        raise BenchmarkError(f"the answer is one of the letters {', '.join(LETTERS)}, got {letter!r}")
    return LETTERS.index(letter)

"""Gold answers of any prompt/answer file as a benchmark: how many bits a byte of the right answer costs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sftlab.benchmarks.answers import short_answer_reader
from sftlab.benchmarks.clusters import clusters
from sftlab.benchmarks.item import Benchmark, Item, Scorer
from sftlab.benchmarks.rows import Layout, Row, file_format, read_rows
from sftlab.errors import BenchmarkError
from sftlab.study.declaration import BenchmarkRef
from sftlab.study.spelling import nearest

DELIMITER = " "
COLUMNS = (
    ("question", "answer"),
    ("prompt", "response"),
    ("prompt", "completion"),
    ("prompt", "code"),
    ("prompt", "canonical_solution"),
    ("instruction", "output"),
    ("instruction", "response"),
    ("query", "response"),
    ("query", "answer"),
    ("problem", "solution"),
    ("problem", "answer"),
    ("context", "answer"),
    ("input", "output"),
)
MAX_NEW_TOKENS = 64


@dataclass(frozen=True)
class GoldAnswers:
    """A prompt/answer file as a benchmark; satisfies the same protocol as a task."""

    ref: BenchmarkRef
    path: Path
    scorers: tuple[Scorer, ...]
    limit: int | None

    @property
    def max_new_tokens(self) -> int:
        """The longest answer that may be generated."""
        return self.ref.max_new_tokens or MAX_NEW_TOKENS

    def identity(self, file_digest: Callable[[Path], str]) -> object:
        """What decides the items: the file's content, its kind, the columns asked for, the limit."""
        if not self.path.is_file():
            raise BenchmarkError(f"the file {self.path} does not exist")
        return {
            "content": file_digest(self.path),
            "format": file_format(self.path),
            "columns": [self.ref.prompt, self.ref.response],
            "known_columns": COLUMNS,
            "delimiter": DELIMITER,
            "limit": self.limit,
            "max_new_tokens": self.max_new_tokens,
        }

    def benchmark(self, name: str, digest: str) -> Benchmark:
        """The file's rows as items; rows without a question or an answer are counted as skipped."""
        rows = read_rows(self.path, Layout(file_format(self.path)))
        question, answer = _columns(self.ref, tuple(rows[0]))
        items: list[Item] = []
        skipped = 0
        cluster_of = clusters(rows)
        for index, row in enumerate(rows):
            if self.limit is not None and len(items) == self.limit:
                break
            item = _item(index, question(row), _answers(row.get(answer)))
            if item is None:
                skipped += 1
            else:
                items.append(replace(item, cluster=cluster_of[index]))
        if not items:
            raise BenchmarkError(
                f"none of the {skipped} rows of {self.path} has both a question and an answer ({answer!r})"
            )
        return Benchmark(
            name=name,
            digest=digest,
            items=tuple(items),
            scorers=self.scorers,
            stops=("\n",),
            max_new_tokens=self.max_new_tokens,
            read=short_answer_reader(DELIMITER),
            delimiter=DELIMITER,
            skipped=skipped,
        )


def gold_answers(ref: BenchmarkRef, *, path: Path, limit: int | None) -> GoldAnswers:
    """A prompt/answer file as a benchmark. Raises BenchmarkError for shots, which need examples kept apart."""
    if ref.shots:
        raise BenchmarkError("`shots` need a task file, which says where examples come from")
    return GoldAnswers(ref, path, ref.scorers or ("likelihood",), limit)


def _columns(ref: BenchmarkRef, columns: Sequence[str]) -> tuple[Callable[[Row], object], str]:
    for role, column in (("prompt", ref.prompt), ("response", ref.response)):
        if column is not None and column not in columns:
            raise BenchmarkError(f"no column {column!r} for `{role}`{nearest(column, columns)}")
    for prompt, response in COLUMNS:
        if ref.prompt in {None, prompt} and ref.response in {None, response} and {prompt, response} <= {*columns}:
            joined = prompt == "instruction" and ref.prompt is None and "input" in columns
            return (_instruction_and_input if joined else _column(prompt)), response
    if ref.prompt is not None and ref.response is not None:
        return _column(ref.prompt), ref.response
    missing = " and ".join(role for role in ("prompt", "response") if getattr(ref, role) is None)
    raise BenchmarkError(f"say which column is {missing}; the columns are {', '.join(map(repr, columns))}")


def _column(name: str) -> Callable[[Row], object]:
    return lambda row: row.get(name)


def _instruction_and_input(row: Row) -> object:
    """Joined by a line break, as in training data of this shape."""
    instruction, more = row.get("instruction"), row.get("input")
    if not isinstance(instruction, str) or not isinstance(more, str) or not more.strip():
        return instruction
    return f"{instruction}\n{more}"


def _answers(value: object) -> tuple[str, ...]:
    found = value if isinstance(value, list) else [value]
    texts = [str(one) for one in found if isinstance(one, str | int | float) and not isinstance(one, bool)]
    return tuple(text for text in texts if text.strip())


def _item(index: int, question: object, answers: tuple[str, ...]) -> Item | None:
    if not isinstance(question, str) or not question.strip() or not answers:
        return None
    return Item(item=str(index), context=question, gold=tuple(DELIMITER + answer for answer in answers))

"""Prompts of a task: a row as question, answer and choices, shots before it; byte for byte lm-evaluation-harness'."""

import ast
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from random import Random

from sftlab.benchmarks.code import TaskCode
from sftlab.benchmarks.definition import FewshotConfig, TaskDefinition
from sftlab.benchmarks.rows import Row
from sftlab.benchmarks.templates import value_renderer
from sftlab.errors import BenchmarkError

SHOT_SEED = 1234
Target = str | int | list[object]


def _constant(value: object) -> Callable[[Row], object]:
    return lambda _: value


def _literal(text: str, name: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise BenchmarkError(f"`{name}` renders {_short(text)}, which is no list or number") from error


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _joined(prefix: str, text: str, delimiter: str) -> str:
    if not prefix or not text:
        return prefix + text
    return prefix + ("" if prefix[-1].isspace() or text[0].isspace() else delimiter) + text


@dataclass(frozen=True)
class _Form:
    """How one row is written: as the question that is asked, or as a shot."""

    text: Callable[[Row], object]
    target: Callable[[Row], object]
    choices: Callable[[Row], object] | None
    prefix: Callable[[Row], object]
    delimiter: str
    target_is_template: bool
    choices_are_template: bool

    def question(self, row: Row) -> str:
        text = self.text(row)
        if not isinstance(text, str):
            raise BenchmarkError(f"`doc_to_text` gives {_short(text)}; legal: text")
        if text.isdigit() and self.choices is not None:
            raise BenchmarkError(
                f"`doc_to_text` gives the number {text}: tasks with one context for each choice are not supported"
            )
        return text

    def answer_choices(self, row: Row) -> tuple[str, ...]:
        if self.choices is None:
            return ()
        value = self.choices(row)
        if self.choices_are_template and isinstance(value, str):
            value = _literal(value, "doc_to_choice")
        if not isinstance(value, list) or not value or not all(isinstance(choice, str) for choice in value):
            raise BenchmarkError(f"`doc_to_choice` gives {_short(value)}; legal: a list of texts")
        return tuple(value)

    def gold(self, row: Row) -> Target:
        value = self.target(row)
        if self.target_is_template and isinstance(value, str):
            value = self._read_target(value)
        if isinstance(value, str | int) or (isinstance(value, list) and value):
            return value
        if isinstance(value, float):
            return str(value)
        raise BenchmarkError(f"`doc_to_target` gives {_short(value)}; legal: text, the number of a choice, or a list")

    def _read_target(self, text: str) -> object:
        if self.choices is not None and text.isdigit():
            return _literal(text, "doc_to_target")
        if len(text) >= 2 and text[0] == "[" and text[-1] == "]":
            try:
                return ast.literal_eval(text)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                return text
        return text

    def asked(self, row: Row) -> str:
        """The question, with what its answer is to begin with."""
        return _joined(self.question(row), self._prefix(row), self.delimiter)

    def answered(self, row: Row, after: str) -> str:
        """The question with its answer and what follows it; an empty answer has nothing around it."""
        if self.gold(row) == "":
            return self.asked(row)
        question, prefix, answer = self.question(row), self._prefix(row), self._answer(row)
        if not prefix:
            return question + self.delimiter + answer + after
        return _joined(question, _joined(prefix, answer, " "), self.delimiter) + after

    def _prefix(self, row: Row) -> str:
        return str(self.prefix(row) or "")

    def _answer(self, row: Row) -> str:
        gold, choices = self.gold(row), self.answer_choices(row)
        first = gold[0] if isinstance(gold, list) else gold
        if isinstance(first, int) and choices:
            return choices[choice_number(first, choices)]
        return str(first)


def choice_number(gold: Target, choices: Sequence[str]) -> int:
    """Which of the choices is gold. Raises BenchmarkError where none is, or more than one."""
    if isinstance(gold, list):
        if len(gold) != 1:
            raise BenchmarkError(f"`doc_to_target` names {len(gold)} right choices; legal: one")
        return choice_number(gold[0] if isinstance(gold[0], int) else str(gold[0]), choices)
    if isinstance(gold, str):
        if gold not in choices:
            raise BenchmarkError(f"the gold answer {_short(gold)} is none of the choices {_short(list(choices))}")
        return choices.index(gold)
    if not 0 <= gold < len(choices):
        raise BenchmarkError(f"the gold choice is number {int(gold)} of {len(choices)}, counted from 0")
    return int(gold)


class TaskWriter:
    """Writes the rows of a task as prompts; `columns` are the columns of the rows that are asked."""

    def __init__(self, definition: TaskDefinition, columns: Set[str], code: TaskCode | None = None) -> None:
        self.definition = definition
        self._code = code or TaskCode()
        self._columns = columns
        self.question = self._form(FewshotConfig())
        self.shot = self._form(definition.fewshot_config)
        self._description = self._renderer(definition.description, "description")
        self._follow_ups = self._renderer(definition.follow_ups, "follow_ups")

    def description(self, row: Row) -> str:
        """What stands before everything else."""
        return str(self._description(row))

    def follow_ups(self, row: Row) -> tuple[str, ...]:
        """Later turns of the user, where the task is a dialogue."""
        found = self._follow_ups(row) or []
        if not isinstance(found, list) or not all(isinstance(turn, str) for turn in found):
            raise BenchmarkError(f"`follow_ups` gives {_short(found)}; legal: the name of a column of lists of texts")
        return tuple(found)

    def _form(self, special: FewshotConfig) -> _Form:
        own = self.definition
        target = own.doc_to_target if special.doc_to_target is None else special.doc_to_target
        choices = special.doc_to_choice or own.doc_to_choice
        delimiter = special.target_delimiter
        return _Form(
            text=self._renderer(special.doc_to_text or own.doc_to_text, "doc_to_text"),
            target=self._renderer(target, "doc_to_target"),
            choices=None if choices is None else self._renderer(choices, "doc_to_choice"),
            prefix=self._renderer(special.gen_prefix or own.gen_prefix, "gen_prefix"),
            delimiter=own.target_delimiter if delimiter is None else delimiter,
            target_is_template=self._is_template(target),
            choices_are_template=self._is_template(choices),
        )

    def _is_template(self, value: object) -> bool:
        return isinstance(value, str) and value not in self._columns and self._code.function(value) is None

    def _renderer(self, value: object, name: str) -> Callable[[Row], object]:
        function = self._code.function(value)
        if function is not None:
            return function
        if isinstance(value, str):
            return value_renderer(value, field=name, columns=self._columns)
        return _constant(value)


class Shots:
    """The worked examples before each question.

    The default sampler draws anew for every item, in the order of the items, from one generator seeded with 1234, as
    lm-evaluation-harness does; so the same items in the same order have the same prompts there and here.
    """

    def __init__(self, writer: TaskWriter, pool: Sequence[Row], num_shots: int) -> None:
        self._writer = writer
        self._pool = pool
        self._num_shots = num_shots
        self._random = Random(SHOT_SEED)
        self._written: dict[int, str] = {}
        needed = num_shots + writer.definition.leaves_out_the_item
        if num_shots and needed > len(pool):
            raise BenchmarkError(f"{num_shots} shots need {needed} rows to draw from, and there are {len(pool)}")

    def before(self, row: Row) -> str:
        """The shots for one item, each with the delimiter that follows it."""
        if self._num_shots == 0:
            return ""
        return "".join(self._text(index) for index in self._drawn(row))

    def _drawn(self, row: Row) -> Sequence[int]:
        number, everything = self._num_shots, range(len(self._pool))
        leave_out = self._writer.definition.leaves_out_the_item
        if self._writer.definition.fewshot_config.sampler == "first_n":
            others = (index for index in everything if not leave_out or self._pool[index] != row)
            return [index for index, _ in zip(others, range(number), strict=False)]
        if not leave_out:
            return self._random.sample(everything, number)
        drawn = [index for index in self._random.sample(everything, number + 1) if self._pool[index] != row][:number]
        if len(drawn) < number:
            drawn = self._random.sample([index for index in everything if self._pool[index] != row], number)
        return drawn

    def _text(self, index: int) -> str:
        if index not in self._written:
            delimiter = self._writer.definition.fewshot_config.fewshot_delimiter
            after = self._writer.definition.fewshot_delimiter if delimiter is None else delimiter
            try:
                self._written[index] = self._writer.shot.answered(self._pool[index], after)
            except BenchmarkError as error:
                raise BenchmarkError(f"the shot of row {index}: {error}") from error
        return self._written[index]

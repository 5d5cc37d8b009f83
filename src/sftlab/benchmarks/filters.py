"""Answer filters and exact match, with the meaning they have in lm-evaluation-harness."""

import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sftlab.benchmarks.code_answers import extracted_code
from sftlab.benchmarks.final_answer import final_answer
from sftlab.errors import BenchmarkError
from sftlab.study.spelling import nearest


@dataclass(frozen=True)
class Extracted:
    """An answer on its way through the filters; `found` is whether every filter so far found what it looks for."""

    text: str
    found: bool


Step = Callable[[str], Extracted]


@dataclass(frozen=True)
class AnswerFilter:
    """A named chain of steps from the generated text to the answer in it."""

    name: str
    steps: tuple[Step, ...]

    def extract(self, text: str) -> Extracted:
        """The answer; where a step finds nothing, its fallback goes on through the rest and `found` is False."""
        answer = Extracted(text, found=bool(text.strip()))
        for step in self.steps:
            after = step(answer.text)
            answer = Extracted(after.text, answer.found and after.found)
        return answer


@dataclass(frozen=True)
class ExactMatch:
    """Equality of texts after the parts that do not count are taken out of both."""

    regexes_to_ignore: tuple[re.Pattern[str], ...] = ()
    ignore_case: bool = False
    ignore_punctuation: bool = False
    ignore_numbers: bool = False

    def bare(self, text: str) -> str:
        """The text without what does not count."""
        for pattern in self.regexes_to_ignore:
            text = pattern.sub("", text)
        if self.ignore_case:
            text = text.lower()
        ignored = (string.punctuation if self.ignore_punctuation else "") + (
            string.digits if self.ignore_numbers else ""
        )
        return text.translate(str.maketrans("", "", ignored))

    def score(self, answer: str, references: Sequence[str]) -> float:
        """1.0 where the answer equals any reference, else 0.0."""
        bare_answer = self.bare(answer)
        return float(any(bare_answer == self.bare(reference) for reference in references))


def compiled_pattern(pattern: str, *, field: str) -> re.Pattern[str]:
    """A compiled regular expression. Raises BenchmarkError for one that is none."""
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise BenchmarkError(f"`{field}` is no regular expression: {pattern!r}: {error}") from error


def regex_step(pattern: re.Pattern[str], *, group_select: int, fallback: str) -> Step:
    """The match with that number (negative: from the end); of several groups, the first that is not empty."""

    def step(text: str) -> Extracted:
        matches = pattern.findall(text)
        if not -len(matches) <= group_select < len(matches):
            return Extracted(fallback, found=False)
        match = matches[group_select]
        if isinstance(match, tuple):
            match = next((group for group in match if group), None)
            if match is None:
                return Extracted(fallback.strip(), found=False)
        return Extracted(match.strip(), found=True)

    return step


def answer_filter(name: str, functions: Sequence[Mapping[str, object]]) -> AnswerFilter:
    """A chain of filter functions as a task file lists them. Raises BenchmarkError for what is unknown or misplaced."""
    steps: list[Step] = []
    for position, function in enumerate(functions):
        options = dict(function)
        kind = str(options.pop("function", None))
        if kind not in STEPS:
            raise BenchmarkError(f"filter {name!r}: unknown function {kind!r}{nearest(kind, STEPS)}")
        if (kind == "take_first") != (position == len(functions) - 1):
            raise BenchmarkError(f"filter {name!r}: the last function, and only the last, is take_first")
        make, legal = STEPS[kind]
        for option in options:
            if option not in legal:
                raise BenchmarkError(f"filter {name!r}: {kind} has no option {option!r}{nearest(option, legal)}")
        try:
            steps.append(make(options))
        except BenchmarkError as error:
            raise BenchmarkError(f"filter {name!r}: {error}") from error
    if not steps:
        raise BenchmarkError(f"filter {name!r} is empty; the least is `- function: take_first`")
    return AnswerFilter(name, tuple(steps))


def _regex(options: Mapping[str, object]) -> Step:
    pattern = options.get("regex_pattern", r"#### (\-?[0-9\.\,]+)")
    group_select = options.get("group_select", 0)
    fallback = options.get("fallback", "[invalid]")
    if not isinstance(pattern, str) or not isinstance(fallback, str):
        raise BenchmarkError("`regex_pattern` and `fallback` are texts")
    if not isinstance(group_select, int) or isinstance(group_select, bool):
        raise BenchmarkError(f"`group_select` is a whole number, got {group_select!r}")
    return regex_step(compiled_pattern(pattern, field="regex_pattern"), group_select=group_select, fallback=fallback)


def _map(options: Mapping[str, object]) -> Step:
    mapping = options.get("mapping_dict")
    if not isinstance(mapping, dict) or not mapping:
        raise BenchmarkError("`mapping_dict` says what each answer is mapped to")
    default = options.get("default_value")
    table = {str(key): str(value) for key, value in mapping.items()}
    missing = Extracted("" if default is None else str(default), found=False)
    return lambda text: Extracted(table[text], found=True) if text in table else missing


def _changed_by(change: Callable[[str], str]) -> Callable[[Mapping[str, object]], Step]:
    return lambda _: lambda text: Extracted(change(text), found=True)


def _final_answer(_: Mapping[str, object]) -> Step:
    def step(text: str) -> Extracted:
        answer = final_answer(text)
        return Extracted("[invalid]" if answer is None else answer, found=answer is not None)

    return step


def _code(_: Mapping[str, object]) -> Step:
    def step(text: str) -> Extracted:
        code = extracted_code(text)
        return Extracted(code or "", found=code is not None)

    return step


STEPS: dict[str, tuple[Callable[[Mapping[str, object]], Step], tuple[str, ...]]] = {
    "regex": (_regex, ("regex_pattern", "group_select", "fallback")),
    "map": (_map, ("mapping_dict", "default_value")),
    "final_answer": (_final_answer, ()),
    "code": (_code, ()),
    "remove_whitespace": (_changed_by(str.strip), ()),
    "lowercase": (_changed_by(str.lower), ()),
    "uppercase": (_changed_by(str.upper), ()),
    "take_first": (_changed_by(str), ()),
}

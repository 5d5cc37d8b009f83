"""What is in a dataset: how much, how long, and what looks wrong with it."""

import re
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sftlab.data.answer_problems import main_script, refuses, stops_inside
from sftlab.data.example import Dataset, Example
from sftlab.data.near_duplicates import near_duplicates
from sftlab.data.record import excerpt

EXCERPTS_KEPT = 3
SHORT_ANSWER_BYTES = 4
COMMON_ANSWER_SHARE = 0.1
FEW_EXAMPLES = 20

BAKED_IN_TEMPLATES = re.compile(
    r"Below is an instruction that|^#{2,3} ?(?:Instruction|Question|Response|Answer|Human|Assistant|User|Input)\s*:"
    r"|#{3} ?(?:Instruction|Question|Response|Answer|Human|Assistant)\s*:"
    r"|\[/?INST\]|<\|(?:im_start|im_end|user|assistant|system|end_of_text|eot_id|endoftext|start_header_id)\|>"
    r"|<start_of_turn>|\n\nAssistant:",
    re.MULTILINE,
)
PUNCTUATION = re.compile(r"[\s.,;:!?'\"`\u2018\u2019\u201c\u201d]+")
SPEAKS_AS_AI = re.compile(r"\b[Aa]s an? (?:AI|artificial intelligence|large language model|language model)\b")


@dataclass(frozen=True)
class Spread:
    """A quantity over all examples of a dataset: a description of these examples, not an estimate of others."""

    n: int
    median: float
    mean: float
    maximum: int
    total: int


@dataclass(frozen=True)
class Excerpt:
    """The row and the beginning of one instance of a finding."""

    index: int
    text: str


@dataclass(frozen=True)
class Finding:
    """Something that a reader should know about these rows: how many there are, and the first of them."""

    kind: str
    count: int
    excerpts: tuple[Excerpt, ...]


@dataclass(frozen=True)
class TokenLengths:
    """Lengths in tokens of one base's tokenizer."""

    base: str
    prompt: Spread
    response: Spread


@dataclass(frozen=True)
class DataSummary:
    """A dataset at a glance. `broken` groups unusable rows by reason; `findings` speak of usable ones.

    `tokens` is None until someone who has a tokenizer puts it in place with `dataclasses.replace`.
    """

    name: str
    shape: str
    num_rows: int
    num_usable: int
    num_multi_turn: int
    num_with_system: int
    prompt_bytes: Spread
    response_bytes: Spread
    broken: tuple[Finding, ...]
    findings: tuple[Finding, ...]
    tokens: TokenLengths | None = None


def summarise(dataset: Dataset, *, short_answer_bytes: int = SHORT_ANSWER_BYTES) -> DataSummary:
    """Counts, lengths in UTF-8 bytes, and problems; only problems that occur are findings.

    Exact duplicates have the same turns as an earlier row; near duplicates the same words, but for case, spacing and
    punctuation; similar texts share four in five runs of three words (see `near_duplicates`). Refusals, answers that
    stop inside a sentence and other scripts than that of most texts are found by rules. An answer is very short below
    `short_answer_bytes` bytes. An answer is common when at least a tenth of the rows (of a set of 20 or more) share it:
    models learn how often it is due before they learn when.
    """
    examples = dataset.examples
    return DataSummary(
        name=dataset.name,
        shape=dataset.shape,
        num_rows=dataset.num_rows,
        num_usable=len(examples),
        num_multi_turn=sum(1 for example in examples if _num_answers(example) > 1),
        num_with_system=sum(1 for example in examples if example.turns[0].role == "system"),
        prompt_bytes=spread([example.prompt_bytes for example in examples]),
        response_bytes=spread([example.response_bytes for example in examples]),
        broken=_broken_by_reason(dataset),
        findings=_findings(examples, short_answer_bytes),
    )


def spread(values: Sequence[int]) -> Spread:
    """Median, mean, maximum and total of at least one count."""
    assert values, "a dataset without examples cannot be read in the first place"
    return Spread(len(values), float(statistics.median(values)), statistics.fmean(values), max(values), sum(values))


def _findings(examples: Sequence[Example], short_answer_bytes: int) -> tuple[Finding, ...]:
    exact = _repeated(examples, [example.turns for example in examples])
    near = _repeated(examples, [_words(example) for example in examples], without=exact)
    answers = [_answer(example) for example in examples]
    found = (
        ("exact duplicate", exact),
        ("near duplicate", near),
        (
            "similar text (4 in 5 runs of three words shared)",
            _where(examples, _similar(examples, without=(*exact, *near))),
        ),
        ("same prompt with different answers", _contradicted(examples)),
        ("very short answer", _where(examples, [len(answer.encode()) < short_answer_bytes for answer in answers])),
        ("common answer", _where(examples, _common(answers))),
        ("template in the text", _where(examples, [has_template(example) for example in examples])),
        (
            "answer repeats the prompt",
            _where(examples, [_prompt(one).strip() == _answer(one).strip() for one in examples]),
        ),
        ("refusal", _where(examples, [refuses(answer) for answer in answers])),
        ("answer that stops inside a sentence", _where(examples, [stops_inside(answer) for answer in answers])),
        *_in_other_scripts(examples),
        ("speaks as an AI", _where(examples, [SPEAKS_AS_AI.search(answer) is not None for answer in answers])),
    )
    return tuple(finding_of(kind, instances) for kind, instances in found if instances)


def finding_of(kind: str, instances: Sequence[Example]) -> Finding:
    """How many examples, and the beginning of the first of them."""
    return Finding(kind, len(instances), tuple(Excerpt(one.index, _shown(one)) for one in instances[:EXCERPTS_KEPT]))


def _broken_by_reason(dataset: Dataset) -> tuple[Finding, ...]:
    counts = Counter(row.reason for row in dataset.broken)
    first: dict[str, list[Excerpt]] = {reason: [] for reason in counts}
    for row in dataset.broken:
        if len(first[row.reason]) < EXCERPTS_KEPT:
            first[row.reason].append(Excerpt(row.index, row.excerpt))
    return tuple(Finding(reason, count, tuple(first[reason])) for reason, count in counts.most_common())


def _shown(example: Example) -> str:
    prompt = _prompt(example)
    return f"{excerpt(prompt)} \u2192 {excerpt(_answer(example))}" if prompt else excerpt(_answer(example))


def _answer(example: Example) -> str:
    return example.turns[-1].content


def _prompt(example: Example) -> str:
    """The last question; empty for plain text."""
    return example.turns[-2].content if len(example.turns) > 1 else ""


def _num_answers(example: Example) -> int:
    return sum(1 for turn in example.turns if turn.role == "assistant")


def _words(example: Example) -> str:
    return "\n".join(PUNCTUATION.sub(" ", turn.content.casefold()).strip() for turn in example.turns)


def has_template(example: Example) -> bool:
    """Whether a turn holds the marks of a chat or instruction template."""
    return any(BAKED_IN_TEMPLATES.search(turn.content) is not None for turn in example.turns)


def _where(examples: Sequence[Example], chosen: Iterable[bool]) -> list[Example]:
    return [example for example, is_chosen in zip(examples, chosen, strict=True) if is_chosen]


def _repeated(examples: Sequence[Example], keys: Sequence[object], *, without: Sequence[Example] = ()) -> list[Example]:
    """Examples whose key an earlier one has."""
    left_out = {example.index for example in without}
    seen: set[object] = set()
    repeated = []
    for example, key in zip(examples, keys, strict=True):
        if key in seen and example.index not in left_out:
            repeated.append(example)
        seen.add(key)
    return repeated


def whole_text(example: Example) -> str:
    """All turns of an example."""
    return "\n".join(turn.content for turn in example.turns)


def _similar(examples: Sequence[Example], *, without: Sequence[Example]) -> list[bool]:
    known = {example.index for example in without}
    places = {one.place for one in near_duplicates([whole_text(example) for example in examples])}
    return [place in places and example.index not in known for place, example in enumerate(examples)]


def _in_other_scripts(examples: Sequence[Example]) -> list[tuple[str, list[Example]]]:
    """Examples by the script that most of their letters are of, but for that of most examples."""
    scripts = [main_script(whole_text(example)) for example in examples]
    counts = Counter(script for script in scripts if script is not None)
    return [
        (f"mostly {script} letters, where most texts have {counts.most_common(1)[0][0]} ones", _where(examples, which))
        for script, _ in counts.most_common()[1:]
        for which in [[each == script for each in scripts]]
    ]


def _contradicted(examples: Sequence[Example]) -> list[Example]:
    """Examples whose whole prompt an earlier one has with another answer."""
    first_answer: dict[object, str] = {}
    contradicted = []
    for example in examples:
        if len(example.turns) > 1 and first_answer.setdefault(example.turns[:-1], _answer(example)) != _answer(example):
            contradicted.append(example)
    return contradicted


def _common(answers: Sequence[str]) -> list[bool]:
    counts = Counter(answers)
    least = max(COMMON_ANSWER_SHARE * len(answers), 2)
    return [len(answers) >= FEW_EXAMPLES and counts[answer] >= least for answer in answers]

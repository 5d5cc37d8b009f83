"""What an extracted answer scores against the gold answers of its item, by metric."""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

from sftlab.benchmarks.final_answer import final_answer
from sftlab.benchmarks.mathematics import equal_to_any

Metric = Callable[[str, Sequence[str]], float]


def normalised_answer(text: str) -> str:
    """Lower case, without punctuation, articles and superfluous spaces: the form in which short answers are compared.

    Rajpurkar et al. 2016 (SQuAD), arXiv 1606.05250, official evaluation script; NaturalQuestions and TriviaQA are
    compared in the same form (Lee et al. 2019, arXiv 1906.00300).
    """
    bare = text.lower().translate(str.maketrans("", "", string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def squad_exact_match(answer: str, references: Sequence[str]) -> float:
    """1.0 where the answer equals any of the references once both are normalised, else 0.0."""
    return float(normalised_answer(answer) in {normalised_answer(reference) for reference in references})


def squad_f1(answer: str, references: Sequence[str]) -> float:
    """The greatest F1 of words shared with any of the references once both are normalised."""
    return max(
        (_f1(normalised_answer(answer).split(), normalised_answer(one).split()) for one in references), default=0.0
    )


def _f1(answer: list[str], reference: list[str]) -> float:
    if not answer or not reference:
        return float(answer == reference)
    shared = sum((Counter(answer) & Counter(reference)).values())
    return 2 * shared / (len(answer) + len(reference))


def math_equal(answer: str, references: Sequence[str]) -> float:
    """1.0 where the answer is the same mathematics as the final answer of any of the references, else 0.0."""
    return float(equal_to_any(answer, [final_answer(reference) or reference for reference in references]))


def exact_answer(answer: str, references: Sequence[str]) -> float:
    """1.0 where the answer is letter by letter the final answer of any of the references, else 0.0."""
    return float(answer.strip() in {final_answer(reference) or reference.strip() for reference in references})


FINAL_ANSWER_METRICS = frozenset({exact_answer.__name__, math_equal.__name__})
"""Metrics that compare with the final answer of a worked reference."""
METRICS: dict[str, Metric] = {
    "exact_answer": exact_answer,
    "math_equal": math_equal,
    "squad_exact_match": squad_exact_match,
    "squad_f1": squad_f1,
}

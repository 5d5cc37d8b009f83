"""How near the prompts of training examples come to the questions of a benchmark, by the words that they share."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sftlab.data.contamination import WORD
from sftlab.data.example import Example

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

CHUNK = 512


@dataclass(frozen=True, eq=False)
class Nearest:
    """Of every question: its best cosine with any example, and the place of the first example that reaches it."""

    cosine: NDArray[np.float64]
    place: NDArray[np.int64]


def asked(example: Example) -> str:
    """What an example's user says, all turns together; the whole text of one without a user."""
    said = [turn.content for turn in example.turns if turn.role == "user"]
    return "\n".join(said or [turn.content for turn in example.turns])


def nearest_by_words(questions: Sequence[str], prompts: Sequence[str]) -> Nearest:
    """Best cosine of each question with any prompt, over words and pairs of neighbouring words.

    A term that occurs c times in a text weighs (1 + ln c) idf; idf = ln((1 + Q) / (1 + q)) + 1 for a term in q of the Q
    questions, so that it is the same for all datasets and what all questions have in common counts little. Words are in
    lower case; every Chinese or Japanese character is one.
    """
    assert questions
    assert prompts
    counts_Q = [Counter(_terms(question)) for question in questions]
    in_questions = Counter(term for counts in counts_Q for term in counts)
    idf = {term: math.log((1 + len(questions)) / (1 + count)) + 1 for term, count in in_questions.items()}
    unseen = math.log(1 + len(questions)) + 1
    number = {term: place for place, term in enumerate(idf)}
    question_QT = _unit_rows(counts_Q, number, idf, unseen)
    prompt_TP = _unit_rows([Counter(_terms(prompt)) for prompt in prompts], number, idf, unseen).T.tocsc()
    cosines, places = [], []
    for start in range(0, len(questions), CHUNK):
        cosine_QP = question_QT[start : start + CHUNK] @ prompt_TP
        cosines.append(np.asarray(cosine_QP.max(axis=1).todense()).ravel())
        places.append(np.asarray(cosine_QP.argmax(axis=1)).ravel())
    return Nearest(np.minimum(np.concatenate(cosines), 1.0), np.concatenate(places).astype(np.int64))


def _terms(text: str) -> Iterator[str]:
    words = WORD.findall(text.lower())
    yield from words
    yield from (f"{one} {other}" for one, other in itertools.pairwise(words))


def _unit_rows(
    texts: Sequence[Counter[str]], number: Mapping[str, int], idf: Mapping[str, float], unseen: float
) -> "csr_matrix":
    """Rows of length 1 over all terms of a text, of which only those with a number are kept."""
    from scipy.sparse import csr_matrix

    values: list[float] = []
    columns: list[int] = []
    ends = [0]
    for counts in texts:
        weights = {term: (1 + math.log(count)) * idf.get(term, unseen) for term, count in counts.items()}
        length = math.sqrt(math.fsum(weight * weight for weight in weights.values()))
        kept = [term for term in weights if term in number]
        values += [weights[term] / length for term in kept]
        columns += [number[term] for term in kept]
        ends.append(len(values))
    return csr_matrix((values, columns, ends), shape=(len(texts), len(number)), dtype=np.float64)

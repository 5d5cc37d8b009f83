"""Similarity of training data and a benchmark (version 1 of `similarity` and of `embedding_similarity`).

The mean over the benchmark's questions of the best cosine with any training prompt (Harada et al. 2025, section 4.2).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftlab.analyse import intervals
from sftlab.data.example import Example
from sftlab.data.similarity import Nearest, asked, nearest_by_words
from sftlab.measure.measured import Measured, property_frame

if TYPE_CHECKING:
    from sftlab.plan.embedder import Embedder

CHUNK = 1024


def lexical_similarity(questions: Mapping[str, str], examples: Sequence[Example]) -> Measured:
    """By words and pairs of words, without a model: see `nearest_by_words`.

    `questions` are the items' prompts by name. The interval speaks of questions like these. Rows of `examples`: the
    item, its best cosine, and the source row of the example that reaches it.
    """
    prompts = [asked(example) for example in examples]
    return _measured("similarity", questions, examples, nearest_by_words(list(questions.values()), prompts))


def embedding_similarity(
    questions: Mapping[str, str], examples: Sequence[Example], *, embedder: "Embedder", device: str
) -> Measured:
    """By the cosine of sentence embeddings; as `lexical_similarity` otherwise."""
    model = _model(embedder, device)
    question_QD = _embedded(model, list(questions.values()))
    prompt_PD = _embedded(model, [asked(example) for example in examples])
    cosines, places = [], []
    for start in range(0, len(question_QD), CHUNK):
        cosine_QP = question_QD[start : start + CHUNK] @ prompt_PD.T
        cosines.append(cosine_QP.max(axis=1))
        places.append(cosine_QP.argmax(axis=1))
    nearest = Nearest(np.concatenate(cosines).astype(np.float64), np.concatenate(places).astype(np.int64))
    return _measured("embedding_similarity", questions, examples, nearest)


def _measured(name: str, questions: Mapping[str, str], examples: Sequence[Example], nearest: Nearest) -> Measured:
    rows = pl.DataFrame(
        {
            "item": list(questions),
            "cosine": nearest.cosine,
            "index": [examples[place].index for place in nearest.place],
        }
    )
    return Measured(property_frame({name: intervals.mean(nearest.cosine)}), rows)


_MODELS: dict[tuple[str, str], Any] = {}


def _model(embedder: "Embedder", device: str) -> Any:  # noqa: ANN401 - a class of an optional package
    key = (embedder.digest, device)
    if key not in _MODELS:
        from sentence_transformers import SentenceTransformer

        _MODELS.clear()
        _MODELS[key] = SentenceTransformer(embedder.model, revision=embedder.revision, device=device)
    return _MODELS[key]


def _embedded(model: Any, texts: Sequence[str]) -> NDArray[np.float32]:  # noqa: ANN401 - as above
    """Unit vectors, one row a text; equal texts are embedded once."""
    distinct = list(dict.fromkeys(texts))
    vectors = model.encode(distinct, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False)
    number = {text: place for place, text in enumerate(distinct)}
    found: NDArray[np.float32] = vectors[[number[text] for text in texts]].astype(np.float32)
    return found

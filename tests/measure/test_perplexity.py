"""Perplexity against a few lines of plain transformers, and its interval against the spread over samples."""

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from sftlab.analyse.intervals import ratio
from sftlab.data.example import Example, Turn
from sftlab.data.reading import read_dataset
from sftlab.lm.base import LoadedBase, load_base
from sftlab.lm.encoding import EncodingRecipe, encode_examples
from sftlab.measure import DATA_MEASURES
from sftlab.measure.measured import exponential
from sftlab.measure.passes import Passes
from sftlab.measure.perplexity import response_perplexity
from sftlab.study.declaration import BaseRef, DatasetRef, Precision
from sftlab.study.measures import MEASURES
from tests.lm.models import MODELS, examples, load


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return tmp_path_factory.mktemp("bases")


@pytest.fixture(scope="module", params=MODELS)
def base(request, folder) -> LoadedBase:
    return load(folder, request.param)


def plainly(base: LoadedBase, given: list[Example]) -> list[tuple[float, int, float, int]]:
    """Of each example, with transformers alone: nats and tokens of response and end; nats and bytes of the response."""
    found = []
    for example in given:
        prompt = f"###Question: {example.turns[0].content}\n###Answer: "
        response = example.turns[1].content
        whole = base.tokenizer(prompt + response, return_offsets_mapping=True)
        ids = torch.tensor([*whole.input_ids, base.eos_id])
        start = next(place for place, (_, end) in enumerate(whole.offset_mapping) if end > len(prompt))
        labels = torch.where(torch.arange(len(ids)) < start, -100, ids)
        with torch.inference_mode():
            out = base.model(ids[None], labels=labels[None])
            end = -out.logits[0, -2].log_softmax(-1)[base.eos_id].item()
        nats = out.loss.item() * (len(ids) - start)
        found.append((nats, len(ids) - start, nats - end, len(response.encode())))
    return found


def value_of(frame: pl.DataFrame, name: str) -> dict:
    return frame.row(by_predicate=pl.col("property") == name, named=True)


@pytest.mark.parametrize("max_batch_tokens", [1, 300, 100_000])
def test_perplexity_equals_plain_transformers(base, tmp_path, max_batch_tokens):
    given = examples(25)
    encoded = encode_examples(given, base, recipe=EncodingRecipe(), folder=tmp_path)
    measured = response_perplexity(Passes(base, encoded, max_batch_tokens))
    nats, tokens, text_nats, num_bytes = (np.array(column) for column in zip(*plainly(base, given), strict=True))
    perplexity = value_of(measured.properties, "response_perplexity")
    bits = value_of(measured.properties, "response_bits_per_byte")
    assert perplexity["value"] == pytest.approx(math.exp(nats.sum() / tokens.sum()), rel=1e-5)
    assert bits["value"] == pytest.approx(text_nats.sum() / num_bytes.sum() / math.log(2), rel=1e-5)
    assert perplexity["n"] == bits["n"] == 25
    mean = value_of(measured.properties, "mean_response_perplexity")
    assert mean["value"] == pytest.approx(np.exp(nats / tokens).mean(), rel=1e-5)
    rows = measured.examples
    np.testing.assert_allclose(rows["log_likelihood"], -nats, rtol=1e-4)
    np.testing.assert_allclose(rows["response_log_likelihood"], -text_nats, rtol=1e-4)
    assert rows["num_tokens"].to_list() == tokens.tolist()
    assert rows["num_bytes"].to_list() == num_bytes.tolist()
    assert rows["index"].to_list() == [example.index for example in given]


def test_real_responses_equal_plain_transformers(shared, tmp_path):
    ref = BaseRef(name="stories", model=str(shared / "weights" / "stories260K"))
    base = load_base(ref, device="cpu", precision=Precision())
    path = shared / "data" / "sft" / "dolly.json"
    data = read_dataset(DatasetRef(path=str(path)), name="dolly")
    short = [example for example in data.examples if example.num_bytes < 200 and len(example.turns) == 2][:20]
    encoded = encode_examples(short, base, recipe=EncodingRecipe(), folder=tmp_path)
    assert encoded.truncated == 0
    found = value_of(response_perplexity(Passes(base, encoded, 2000)).properties, "response_perplexity")
    nats, tokens, _, _ = (np.array(column) for column in zip(*plainly(base, short), strict=True))
    assert found["value"] == pytest.approx(math.exp(nats.sum() / tokens.sum()), rel=1e-5)


def test_interval_covers_the_perplexity_of_all_examples(folder, tmp_path):
    """Of many small samples of one population, about 95 % of the intervals hold the population's value."""
    base = load(folder, "llama")
    with torch.no_grad():
        for weight in base.model.parameters():
            weight.mul_(3)
    encoded = encode_examples(examples(600), base, recipe=EncodingRecipe(), folder=tmp_path)
    everything = response_perplexity(Passes(base, encoded, 8000))
    nats, tokens = -everything.examples["log_likelihood"].to_numpy(), everything.examples["num_tokens"].to_numpy()
    truth = value_of(everything.properties, "response_perplexity")["value"]
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(600):
        drawn = generator.integers(0, 600, 30)
        estimate = exponential(ratio(nats[drawn], tokens[drawn].astype(float)))
        covered += estimate.ci_low <= truth <= estimate.ci_high
    assert 0.91 < covered / 600 < 0.98


def test_one_example_has_no_interval(base, tmp_path):
    encoded = encode_examples(examples(1), base, recipe=EncodingRecipe(), folder=tmp_path)
    row = value_of(response_perplexity(Passes(base, encoded, 100)).properties, "response_perplexity")
    assert row["n"] == 1
    assert row["se"] is row["ci_low"] is row["ci_high"] is None


def test_no_examples_give_unknown_properties(base, tmp_path):
    encoded = encode_examples([], base, recipe=EncodingRecipe(), folder=tmp_path)
    measured = response_perplexity(Passes(base, encoded, 100))
    assert measured.properties["value"].to_list() == [None] * 4
    assert measured.properties["n"].to_list() == [0] * 4
    assert measured.examples.height == 0


def test_every_assistant_turn_counts(base, tmp_path):
    turns = tuple(
        Turn(role, text)
        for role, text in zip(["user", "assistant"] * 2, ["a cat", "sees", "a dog", "runs"], strict=True)
    )
    encoded = encode_examples([Example(turns, 0)], base, recipe=EncodingRecipe(), folder=tmp_path)
    rows = response_perplexity(Passes(base, encoded, 100)).examples
    assert rows["num_bytes"].to_list() == [len("sees") + len("runs")]
    assert rows["num_tokens"].to_list() == [int(np.count_nonzero(encoded.learned))]


def test_out_of_memory_changes_no_value(base, tmp_path):
    encoded = encode_examples(examples(20), base, recipe=EncodingRecipe(), folder=tmp_path)
    expected = response_perplexity(Passes(base, encoded, 100_000)).properties
    failures = []

    def small_device(_module, positional, named):
        ids = positional[0] if positional else named["input_ids"]
        if ids.shape[0] > 3:
            failures.append(1)
            raise torch.OutOfMemoryError("CUDA out of memory")

    handle = base.model.base_model.register_forward_pre_hook(small_device, with_kwargs=True)
    try:
        found = response_perplexity(Passes(base, encoded, 100_000)).properties
    finally:
        handle.remove()
    assert failures
    np.testing.assert_allclose(found["value"], expected["value"], rtol=1e-5)


def test_measures_of_data_are_found_by_their_declared_names(base, tmp_path):
    declared = {name: measure for name, measure in MEASURES.items() if measure.of == "data"}
    assert set(DATA_MEASURES) == set(declared)
    encoded = encode_examples(examples(3), base, recipe=EncodingRecipe(), folder=tmp_path)
    for name, measure in declared.items():
        properties = DATA_MEASURES[name](Passes(base, encoded, 100)).properties
        assert set(measure.properties) <= set(properties["property"])
        assert properties.columns == ["property", "value", "n", "se", "ci_low", "ci_high"]


def test_text_perplexity_counts_every_token_but_the_first(base, tmp_path):
    encoded = encode_examples(examples(8), base, recipe=EncodingRecipe(), folder=tmp_path)
    found = value_of(response_perplexity(Passes(base, encoded, 500)).properties, "text_perplexity")
    nats, tokens = 0.0, 0
    for start, end in zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True):
        ids = torch.tensor(encoded.ids[start:end].astype(np.int64))[None]
        with torch.inference_mode():
            nats += base.model(ids, labels=ids).loss.item() * (ids.shape[1] - 1)
        tokens += ids.shape[1] - 1
    assert found["value"] == pytest.approx(math.exp(nats / tokens), rel=1e-5)

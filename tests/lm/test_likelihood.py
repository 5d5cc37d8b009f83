"""Log-likelihoods against the plain definition and against lm-evaluation-harness."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, MistralConfig, MistralForCausalLM

from sftlab.errors import ModelError
from sftlab.lm import row_layout
from sftlab.lm.base import LoadedBase
from sftlab.lm.likelihood import continuation_log_likelihoods, encode_pair, encode_pairs
from sftlab.lm.request_tree import Request, row_batches
from sftlab.study.declaration import BaseRef, Precision
from tests.lm.models import MODELS, WORDS, load

BUDGETS = (1, 150, 700, 100_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return tmp_path_factory.mktemp("bases")


@pytest.fixture(scope="module", params=MODELS)
def base(request, folder) -> LoadedBase:
    loaded = load(folder, request.param)
    with_sharp_attention(loaded.model)
    return loaded


def with_sharp_attention(model) -> None:
    """Make attention far from uniform, so that looking at a wrong token or place shows."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1 and "embed" not in name and "wte" not in name and "wpe" not in name:
                weight.mul_(6)


def few_shot_requests(vocabulary: int) -> list[Request]:
    """Questions after shared worked examples, each with choices of one to five tokens; and some on their own."""
    generator = np.random.default_rng(0)

    def ids(length):
        return generator.integers(0, vocabulary, length).astype(np.int32)

    requests = []
    for shots in (ids(60), ids(45), ids(0)):
        for _ in range(6):
            context = np.concatenate([shots, ids(generator.integers(3, 12))])
            requests.extend(Request(context, ids(generator.integers(1, 6))) for _ in range(4))
    return requests


def by_definition(model, request: Request) -> tuple[float, bool]:
    ids = torch.from_numpy(np.concatenate([request.context_ids, request.continuation_ids]).astype(np.int64))
    with torch.inference_mode():
        log_probabilities = model(ids[None]).logits[0].double().log_softmax(-1)[len(request.context_ids) - 1 : -1]
    labels = ids[len(request.context_ids) :]
    return (
        float(log_probabilities[torch.arange(len(labels)), labels].sum()),
        bool((log_probabilities.argmax(-1) == labels).all()),
    )


@pytest.mark.parametrize("max_batch_tokens", BUDGETS)
def test_log_likelihoods_equal_their_definition_whatever_the_batches(base, max_batch_tokens):
    requests = few_shot_requests(base.model.config.vocab_size)
    found = continuation_log_likelihoods(base, requests, max_batch_tokens=max_batch_tokens)
    expected = np.array([by_definition(base.model, request)[0] for request in requests])
    np.testing.assert_allclose(found.log_likelihood, expected, rtol=1e-5, atol=1e-5)
    assert found.num_tokens.tolist() == [len(request.continuation_ids) for request in requests]


def test_prompts_are_shared_in_the_models_tested(base):
    # Otherwise the comparison with the definition would say nothing of shared prompts.
    assert row_layout.row_layout(base) != "apart"


def test_order_of_requests_does_not_matter(base):
    requests = few_shot_requests(base.model.config.vocab_size)
    order = random.Random(0).sample(range(len(requests)), len(requests))
    straight = continuation_log_likelihoods(base, requests, max_batch_tokens=500).log_likelihood
    shuffled = continuation_log_likelihoods(base, [requests[place] for place in order], max_batch_tokens=300)
    np.testing.assert_allclose(shuffled.log_likelihood, straight[order], rtol=1e-5, atol=1e-5)


def test_what_greedy_decoding_writes_is_greedy_and_anything_else_is_not(base):
    context = np.array([5, 9, 7, 12], dtype=np.int32)
    ids = torch.from_numpy(context.astype(np.int64))
    with torch.inference_mode():
        for _ in range(3):
            ids = torch.cat([ids, base.model(ids[None]).logits[0, -1].argmax()[None]])
    written = ids[4:].numpy().astype(np.int32)
    other = written.copy()
    other[-1] = (other[-1] + 1) % base.model.config.vocab_size
    found = continuation_log_likelihoods(
        base, [Request(context, written), Request(context, other)], max_batch_tokens=100
    )
    assert found.is_greedy.tolist() == [True, False]


def test_progress_ends_at_one(base):
    shares: list[float] = []
    requests = few_shot_requests(base.model.config.vocab_size)
    continuation_log_likelihoods(base, requests, max_batch_tokens=300, on_progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_no_requests_give_no_log_likelihoods(base):
    assert len(continuation_log_likelihoods(base, [], max_batch_tokens=100).log_likelihood) == 0


class SmallDevice:
    """A forward pass that runs out of memory above `capacity` tokens."""

    def __init__(self, model, capacity: int) -> None:
        self.capacity = capacity
        self.failures = 0
        self.handle = model.register_forward_pre_hook(self.check, with_kwargs=True)

    def check(self, _module, positional, named):
        ids = positional[0] if positional else named["input_ids"]
        if ids.numel() > self.capacity:
            self.failures += 1
            raise torch.OutOfMemoryError("CUDA out of memory")


def test_out_of_memory_changes_no_result(base):
    requests = few_shot_requests(base.model.config.vocab_size)
    expected = continuation_log_likelihoods(base, requests, max_batch_tokens=100_000).log_likelihood
    device = SmallDevice(base.model.base_model, capacity=150)
    try:
        found = continuation_log_likelihoods(base, requests, max_batch_tokens=100_000).log_likelihood
    finally:
        device.handle.remove()
    assert device.failures > 0
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_row_too_large_for_the_memory_is_an_error(base):
    request = Request(np.arange(40, dtype=np.int32), np.array([1], dtype=np.int32))
    device = SmallDevice(base.model.base_model, capacity=20)
    try:
        with pytest.raises(ModelError, match="single row of 40 tokens"):
            continuation_log_likelihoods(base, [request], max_batch_tokens=1000)
    finally:
        device.handle.remove()


SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
    "sliding_window": 16,
}
ARCHITECTURES = {
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SIZES)),
    "gemma2": lambda: Gemma2ForCausalLM(Gemma2Config(**SIZES, head_dim=8, final_logit_softcapping=2.0)),
}


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_sliding_windows_and_capped_logits_equal_the_definition(kind, folder):
    torch.manual_seed(0)
    model = ARCHITECTURES[kind]().eval()
    with_sharp_attention(model)
    tokenizer = load(folder, "llama").base_tokenizer
    base = LoadedBase(BaseRef(name=kind, model=kind), model, tokenizer, device="cpu", precision=Precision())
    requests = few_shot_requests(64)
    found = continuation_log_likelihoods(base, requests, max_batch_tokens=500).log_likelihood
    expected = [by_definition(model, request)[0] for request in requests]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def sentences(count: int) -> list[str]:
    generator = random.Random(1)
    return [" ".join(generator.choices(WORDS, k=generator.randint(2, 8))) for _ in range(count)]


@pytest.fixture(scope="module")
def harness_model(base):
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=base.model, tokenizer=base.tokenizer, batch_size=4, max_length=base.context_length)


@pytest.mark.parametrize("gap", [("", " "), (" ", ""), ("\n", ""), ("", "\n"), ("?\nAnswer:", " "), ("  ", "")])
def test_pairs_are_parted_as_lm_evaluation_harness_does(base, harness_model, gap):
    texts = sentences(20)
    for one, other in zip(texts[::2], texts[1::2], strict=True):
        context, continuation = one + gap[0], gap[1] + other
        request = encode_pair(base, context, continuation)
        expected = harness_model._encode_pair(context, continuation)
        assert (request.context_ids.tolist(), request.continuation_ids.tolist()) == expected


def test_a_continuation_of_nothing_follows_the_first_token_of_a_text(base, harness_model):
    request = encode_pair(base, "", "the cat sees")
    assert request.context_ids.tolist() == [harness_model.prefix_token_id]
    assert request.continuation_ids.tolist() == harness_model.tok_encode("the cat sees", add_special_tokens=False)


def test_text_of_items_makes_no_special_tokens(base):
    request = encode_pair(base, "the </s> cat <s>", " </s>")
    ids = [*request.context_ids.tolist(), *request.continuation_ids.tolist()]
    assert base.eos_id not in ids
    assert len(request.continuation_ids) > 1


def test_a_token_across_the_boundary_belongs_to_the_continuation(folder):
    base = load(folder, "gpt2")
    word = next(word for word in WORDS if len(base.base_tokenizer.encode_text(word)) == 1 and len(word) > 2)
    request = encode_pair(base, word[:-1], word[-1])
    assert request.continuation_ids.tolist() == base.base_tokenizer.encode_text(word)
    assert request.context_ids.tolist() == [base.eos_id]


def test_log_likelihoods_equal_lm_evaluation_harness(base, harness_model):
    from lm_eval.api.instance import Instance

    texts = sentences(30)
    pairs = [(context, " " + other) for context in ["", *texts[:9]] for other in texts[9:13]]
    instances = [
        Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=place) for place, pair in enumerate(pairs)
    ]
    theirs = harness_model.loglikelihood(instances, disable_tqdm=True)
    ours = continuation_log_likelihoods(base, encode_pairs(base, pairs), max_batch_tokens=400)
    np.testing.assert_allclose(ours.log_likelihood, [one[0] for one in theirs], rtol=1e-5, atol=1e-4)
    assert ours.is_greedy.tolist() == [one[1] for one in theirs]


LAYOUTS = ("sequence", "rows", "apart")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_rows_gives_the_definition(base, layout, monkeypatch):
    monkeypatch.setitem(row_layout._LAYOUTS, base, layout)
    requests = few_shot_requests(base.model.config.vocab_size)
    found = continuation_log_likelihoods(base, requests, max_batch_tokens=400)
    expected = [by_definition(base.model, request)[0] for request in requests]
    np.testing.assert_allclose(found.log_likelihood, expected, rtol=1e-5, atol=1e-5)


def test_rows_lie_one_behind_another_on_a_processor(base):
    assert row_layout.row_layout(base) == "sequence"


def test_texts_that_share_only_their_first_token_are_no_single_row():
    texts = [np.arange(1, 100, dtype=np.int32) + place for place in range(50)]
    requests = [Request(np.array([0], dtype=np.int32), text) for text in texts]
    batches = row_batches(requests, max_tokens=1000, shares=True, padded=False)
    rows = [row for batch in batches for row in batch.rows]
    assert max(row.length for row in rows) <= 257
    assert sorted(branch.request for row in rows for branch in row.branches) == list(range(50))
    assert max(batch.num_tokens for batch in batches) <= 1000

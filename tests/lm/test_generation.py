"""Greedy decoding against transformers' own, row by row, and against lm-evaluation-harness."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BloomConfig, BloomForCausalLM, GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM

from sftlab.errors import ModelError
from sftlab.lm.base import LoadedBase
from sftlab.lm.generation import generate_greedy
from sftlab.study.declaration import BaseRef, Precision
from tests.lm.models import MODELS, WORDS, load

NEW_TOKENS = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return tmp_path_factory.mktemp("bases")


@pytest.fixture(scope="module", params=MODELS)
def base(request, folder) -> LoadedBase:
    loaded = load(folder, request.param)
    with_varied_output(loaded.model)
    return loaded


def with_varied_output(model) -> None:
    """Make a random model write different things after different prompts, and look at all of them."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(6)


def prompts(base: LoadedBase) -> list[list[int]]:
    generator = random.Random(0)
    texts = [" ".join(generator.choices(WORDS, k=count)) for count in (3, 12, 1, 7, 7, 20, 5)]
    return [base.base_tokenizer.encode_text(text) for text in texts]


def one_by_one(base: LoadedBase, prompt: list[int], **options) -> list[int]:
    """What transformers' own greedy decoding writes after one prompt."""
    options = {"max_new_tokens": NEW_TOKENS, "eos_token_id": base.eos_id, **options}
    ids = torch.tensor([prompt])
    out = base.model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, pad_token_id=base.pad_id, **options
    )
    return out[0, len(prompt) :].tolist()


def text_of(base: LoadedBase, ids: list[int]) -> str:
    return base.tokenizer.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("max_batch_tokens", [1, 120, 100_000])
def test_batches_write_what_each_prompt_alone_would_have(base, max_batch_tokens):
    expected = [text_of(base, one_by_one(base, prompt)) for prompt in prompts(base)]
    found = generate_greedy(base, prompts(base), max_new_tokens=NEW_TOKENS, max_batch_tokens=max_batch_tokens)
    assert found == expected
    assert len(set(found)) > 3


def test_text_ends_before_the_first_stop(base):
    whole = generate_greedy(base, prompts(base), max_new_tokens=NEW_TOKENS, max_batch_tokens=1000)
    stops = tuple({text[len(text) // 2 : len(text) // 2 + 3] for text in whole if len(text) > 8})
    assert len(stops) > 2
    found = generate_greedy(base, prompts(base), max_new_tokens=NEW_TOKENS, stops=stops, max_batch_tokens=1000)
    assert found == [min((text.split(stop)[0] for stop in stops), key=len) for text in whole]


def test_rows_that_met_a_stop_are_not_written_on(base):
    passes = []
    handle = base.model.base_model.register_forward_pre_hook(lambda *_: passes.append(1))
    try:
        whole = generate_greedy(base, prompts(base)[:1], max_new_tokens=NEW_TOKENS, max_batch_tokens=1000)
        in_full = len(passes)
        generate_greedy(
            base, prompts(base)[:1], max_new_tokens=NEW_TOKENS, stops=(whole[0][3:6],), max_batch_tokens=1000
        )
    finally:
        handle.remove()
    assert in_full == NEW_TOKENS
    assert len(passes) - in_full < NEW_TOKENS


def test_text_ends_before_the_end_of_sequence(base, monkeypatch):
    written = one_by_one(base, prompts(base)[1])
    end = next(token for token in written[4:] if token not in written[:4])
    monkeypatch.setattr(base, "eos_id", end)
    found = generate_greedy(base, prompts(base), max_new_tokens=NEW_TOKENS, max_batch_tokens=1000)
    expected = [one_by_one(base, prompt) for prompt in prompts(base)]
    assert found == [text_of(base, ids[: ids.index(end)] if end in ids else ids) for ids in expected]
    assert end in expected[1]


def test_a_stop_that_names_a_special_token_ends_at_that_token(base, monkeypatch):
    written = one_by_one(base, prompts(base)[1])
    end = next(token for token in written[4:] if token not in written[:4])
    monkeypatch.setitem(base.base_tokenizer.special_tokens, "<|end|>", end)
    found = generate_greedy(
        base, prompts(base)[1:2], max_new_tokens=NEW_TOKENS, stops=("<|end|>",), max_batch_tokens=1000
    )
    assert found == [text_of(base, written[: written.index(end)])]


def test_writing_ends_where_the_context_is_full(base, monkeypatch):
    longest = max(map(len, prompts(base)))
    monkeypatch.setattr(base, "context_length", longest + 2)
    found = generate_greedy(base, prompts(base), max_new_tokens=NEW_TOKENS, max_batch_tokens=1000)
    limits = [min(NEW_TOKENS, longest + 2 - len(prompt)) for prompt in prompts(base)]
    expected = [
        text_of(base, one_by_one(base, prompt, max_new_tokens=limit))
        for prompt, limit in zip(prompts(base), limits, strict=True)
    ]
    assert found == expected
    assert min(limits) == 2


def test_a_prompt_that_fills_the_context_gets_an_empty_answer(base, monkeypatch):
    monkeypatch.setattr(base, "context_length", len(prompts(base)[0]))
    assert generate_greedy(base, prompts(base)[:1], max_new_tokens=5, max_batch_tokens=1000) == [""]


def test_out_of_memory_changes_no_text(base):
    expected = generate_greedy(base, prompts(base), max_new_tokens=8, max_batch_tokens=100_000)
    passes, failures = [], []

    def small_device(_module, _positional, named):
        passes.append(1)
        # It fails in the midst of writing, when some tokens of every row are there.
        if named["input_ids"].shape[0] > 2 and len(passes) % 4 == 0:
            failures.append(1)
            raise torch.OutOfMemoryError("CUDA out of memory")

    handle = base.model.base_model.register_forward_pre_hook(small_device, with_kwargs=True)
    try:
        found = generate_greedy(base, prompts(base), max_new_tokens=8, max_batch_tokens=100_000)
    finally:
        handle.remove()
    assert failures
    assert found == expected


def test_a_prompt_too_large_for_the_memory_is_an_error(base):
    def no_device(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    handle = base.model.base_model.register_forward_pre_hook(no_device)
    try:
        with pytest.raises(ModelError, match="out of memory with a single row"):
            generate_greedy(base, prompts(base)[:2], max_new_tokens=8, max_batch_tokens=100_000)
    finally:
        handle.remove()


SIZES = {"vocab_size": 500, "hidden_size": 32, "num_attention_heads": 4}
ARCHITECTURES = {
    "bloom": lambda: BloomForCausalLM(BloomConfig(**SIZES, n_layer=2)),
    "mistral": lambda: MistralForCausalLM(
        MistralConfig(
            **SIZES, num_hidden_layers=2, num_key_value_heads=2, intermediate_size=64, sliding_window=6, head_dim=8
        )
    ),
}


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_relative_positions_and_sliding_windows_write_the_same(kind, folder):
    torch.manual_seed(0)
    model = ARCHITECTURES[kind]().eval()
    with_varied_output(model)
    tokenizer = load(folder, "llama").base_tokenizer
    base = LoadedBase(BaseRef(name=kind, model=kind), model, tokenizer, device="cpu", precision=Precision())
    base.model.generation_config.eos_token_id = None
    expected = [text_of(base, one_by_one(base, prompt)) for prompt in prompts(base)]
    assert generate_greedy(base, prompts(base), max_new_tokens=NEW_TOKENS, max_batch_tokens=1000) == expected


class WithoutPositions(GPT2LMHeadModel):
    """A model that counts positions from the beginning of the row and cannot be told otherwise."""

    def forward(self, input_ids, attention_mask=None, past_key_values=None, use_cache=None):
        return super().forward(
            input_ids=input_ids, attention_mask=attention_mask, past_key_values=past_key_values, use_cache=use_cache
        )


def test_prompts_are_not_padded_where_positions_cannot_be_given(folder):
    torch.manual_seed(0)
    model = WithoutPositions(GPT2Config(vocab_size=500, n_positions=128, n_embd=32, n_layer=2, n_head=4)).eval()
    with_varied_output(model)
    tokenizer = load(folder, "llama").base_tokenizer
    base = LoadedBase(BaseRef(name="x", model="x"), model, tokenizer, device="cpu", precision=Precision())
    alone = [generate_greedy(base, [prompt], max_new_tokens=8, max_batch_tokens=1000)[0] for prompt in prompts(base)]
    assert generate_greedy(base, prompts(base), max_new_tokens=8, max_batch_tokens=1000) == alone
    assert len(set(alone)) > 3


def test_answers_equal_lm_evaluation_harness(base):
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    generator = random.Random(2)
    contexts = [" ".join(generator.choices(WORDS, k=generator.randint(2, 15))) for _ in range(8)]
    whole = generate_greedy(
        base, [base.base_tokenizer.encode_text(text) for text in contexts], max_new_tokens=16, max_batch_tokens=500
    )
    stops = [whole[0][5:7], whole[1][3:6]]
    theirs = HFLM(pretrained=base.model, tokenizer=base.tokenizer, batch_size=1, max_length=base.context_length)
    asked = {"until": stops, "max_gen_toks": 16}
    instances = [
        Instance(request_type="generate_until", doc={}, arguments=(context, asked), idx=place)
        for place, context in enumerate(contexts)
    ]
    expected = theirs.generate_until(instances, disable_tqdm=True)
    found = generate_greedy(
        base,
        [np.array(base.base_tokenizer.encode_text(text)) for text in contexts],
        max_new_tokens=16,
        stops=tuple(stops),
        max_batch_tokens=500,
    )
    assert found == expected
    assert len(set(found)) > 2

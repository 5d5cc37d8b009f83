"""The queue writes what each prompt alone is given by transformers' own greedy `generate`."""

import numpy as np
import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from sftlab.lm import generation
from sftlab.lm.base import LoadedBase
from sftlab.lm.generation import Asking, generate_all
from sftlab.lm.row_layout import attends_as_tree
from sftlab.study.declaration import BaseRef, Precision
from tests.lm.models import MODELS, load

SIZES = {
    "vocab_size": 500,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 256,
}
ARCHITECTURES = {
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=16)),
    "gemma2": lambda: Gemma2ForCausalLM(Gemma2Config(**SIZES, head_dim=8, sliding_window=16)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES)),
}


@pytest.fixture(scope="module", params=[*MODELS, *ARCHITECTURES])
def base(request, tmp_path_factory) -> LoadedBase:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("bases")
    if request.param in MODELS:
        made = load(folder, request.param)
    else:
        torch.manual_seed(0)
        model = ARCHITECTURES[request.param]().eval()
        tokenizer = load(folder, "llama").base_tokenizer
        made = LoadedBase(BaseRef(name="x", model="x"), model, tokenizer, device="cpu", precision=Precision())
    with torch.no_grad():
        for name, weight in made.model.named_parameters():
            if weight.dim() > 1 and "embed" not in name and "wte" not in name and "wpe" not in name:
                weight.mul_(6)
    made.model.generation_config.eos_token_id = None
    return made


def asked(base) -> list[Asking]:
    """Prompts alone, and after 30 shared tokens; limits that differ, so that rows end at different times."""
    generator = np.random.default_rng(0)
    vocabulary = len(base.tokenizer)
    shots = generator.integers(3, vocabulary, 30)

    def prompts(shared, count):
        return [
            np.concatenate([shared, generator.integers(3, vocabulary, generator.integers(1, 14))]).astype(np.int32)
            for _ in range(count)
        ]

    return [
        Asking(prompts(shots[:0], 5), 12, ("e",)),
        Asking(prompts(shots, 7), 5),
        Asking(prompts(shots, 6), 17, ("a", "the")),
    ]


def alone(base, prompt, one: Asking) -> str:
    ids = torch.from_numpy(prompt.astype(np.int64))[None]
    out = base.model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=one.max_new_tokens, do_sample=False
    )[0, len(prompt) :].tolist()
    end = out.index(base.eos_id) if base.eos_id in out else len(out)
    text = base.tokenizer.decode(out[:end], skip_special_tokens=True)
    return text[: min((text.find(stop) for stop in one.stops if stop in text), default=len(text))]


def test_answers_of_a_queue_equal_greedy_generate(base):
    expected = [[alone(base, prompt, one) for prompt in one.prompts] for one in asked(base)]
    assert attends_as_tree(base)
    for room in (1, 200, 100_000):
        assert generate_all(base, asked(base), max_batch_tokens=room) == expected
    assert len({text for texts in expected for text in texts}) > 5


def test_rows_that_are_done_make_room_for_others(base):
    rows = []
    handle = base.model.base_model.register_forward_pre_hook(
        lambda _module, _given, named: rows.append(named["input_ids"].shape), with_kwargs=True
    )
    try:
        generate_all(base, asked(base), max_batch_tokens=250)
    finally:
        handle.remove()
    written = [count for count, length in rows if length == 1]
    # Were each batch written to its end before the next, there would be as many passes as its longest answer.
    batches = sum(length > 1 for _, length in rows)
    assert batches >= 3
    assert max(written) > 1


def test_shared_prompts_are_computed_once(base):
    seen = []
    handle = base.model.base_model.register_forward_pre_hook(
        lambda _module, _given, named: seen.append(named["input_ids"].numel()), with_kwargs=True
    )
    try:
        generate_all(base, [Asking(one.prompts, 1) for one in asked(base)], max_batch_tokens=100_000)
    finally:
        handle.remove()
    whole = sum(len(prompt) for one in asked(base) for prompt in one.prompts)
    assert sum(seen) == whole - 12 * 30


def test_models_that_cannot_queue_write_the_same(base, monkeypatch):
    expected = generate_all(base, asked(base), max_batch_tokens=300)
    monkeypatch.setattr(generation, "attends_as_tree", lambda _: False)
    assert generate_all(base, asked(base), max_batch_tokens=300) == expected

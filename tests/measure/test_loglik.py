"""Log-likelihoods of texts and states of prompts against plain passes of transformers."""

import numpy as np
import pytest
import torch

from sftlab.data.probe import ProbeText, probe_texts
from sftlab.lm.hidden_states import last_token_states
from sftlab.measure.loglik import text_log_likelihoods
from tests.lm.models import load

TEXTS = [ProbeText("0", "the cat sees a dog."), ProbeText("1", "who sleeps?"), ProbeText("2", "a " * 400)]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_totals_are_those_of_texts_alone_and_long_ones_are_unfit(tmp_path, kind):
    base = load(tmp_path, kind)
    found = text_log_likelihoods(base, TEXTS, max_batch_tokens=64)
    start = base.bos_id if base.bos_id is not None else base.eos_id
    for row, text in zip(found.to_dicts()[:2], TEXTS, strict=False):
        ids = [one for one in base.tokenizer(text.text)["input_ids"] if one != start]
        with torch.inference_mode():
            logits = base.model(torch.tensor([[start, *ids]])).logits[0, :-1].log_softmax(-1)
        assert row["log_likelihood"] == pytest.approx(float(logits[range(len(ids)), ids].sum()), abs=1e-3)
        assert row["num_bytes"] == len(text.text)
    assert found["status"].to_list() == ["done", "done", "unfit"]
    assert found["log_likelihood"][2] is None


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_states_are_those_of_prompts_alone(tmp_path, kind):
    base = load(tmp_path, kind)
    prompts = [[5, 6, 7, 8], [9], [6, 6]]
    found = last_token_states(base, prompts, max_batch_tokens=8)
    for place, prompt in enumerate(prompts):
        with torch.inference_mode():
            states = base.model(torch.tensor([prompt]), output_hidden_states=True).hidden_states
        for layer, expected in enumerate(states[1:-1]):
            assert np.allclose(found[layer][place], expected[0, -1].numpy(), atol=1e-5)


def test_shipped_texts_are_distinct():
    texts = probe_texts(None)
    assert len({text.text for text in texts}) == len({text.name for text in texts}) == len(texts) > 150

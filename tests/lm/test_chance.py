"""What is drawn at random in training is known before it happens, also where no module shows it."""

import pytest
import torch
import transformers

from sftlab.lm.base import LoadedBase
from sftlab.lm.chance import draws_at_random, drops_attention
from sftlab.lm.tokenizer import BaseTokenizer
from sftlab.study.declaration import BaseRef, Precision
from tests.lm.architectures import ARCHITECTURES, make_architecture
from tests.lm.models import character_tokenizer
from tests.lm.token_arrays import answered, token_arrays
from tests.train.steps import step_over

IDS = {"vocab_size": 45, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SIZES = {**IDS, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
DROPPING = {
    "OPT": {**SIZES, "ffn_dim": 48, "word_embed_proj_dim": 32},
    "BioGpt": {**SIZES, "intermediate_size": 48},
    "Falcon": {**SIZES, "hidden_dropout": 0.1},
    "Bloom": {**IDS, "hidden_size": 32, "n_layer": 2, "n_head": 4, "hidden_dropout": 0.1},
}


def _model(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**DROPPING[name])
    return getattr(transformers, f"{name}ForCausalLM")(config)


@pytest.mark.parametrize("name", DROPPING)
def test_step_that_drops_by_a_function_depends_on_its_seed_alone(name):
    model = _model(name)
    tokenizer = BaseTokenizer(character_tokenizer(), context_length=256)
    base = LoadedBase(BaseRef(name=name, model=name), model, tokenizer, device="cpu", precision=Precision())
    model.train()
    encoded = token_arrays([answered(13, 4), answered(5, 2)])
    losses = []
    for elsewhere in (1, 2):
        torch.manual_seed(elsewhere)
        losses.append(step_over(base, encoded).loss)
    assert draws_at_random(model)
    assert losses[0] == losses[1]
    model.eval()
    assert step_over(base, encoded).loss != losses[0]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_usual_models_draw_nothing(name):
    model = make_architecture(name, vocabulary=45, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    assert not draws_at_random(model)
    assert not drops_attention(model)


def test_attention_that_is_dropped_is_known_by_all_its_names():
    for name in ("OPT", "Falcon"):
        assert not drops_attention(_model(name))
    assert drops_attention(_model("BioGpt"))
    assert drops_attention(transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=1, n_embd=32, n_head=4)))

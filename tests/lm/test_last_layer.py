"""The last layer at the places that are read, against the whole of it."""

import pytest
import torch

from sftlab.lm.last_layer import LastStates, last_layer, narrows
from tests.lm.architectures import ARCHITECTURES, load_architecture

WHOLE_ALWAYS = {"GPT2LMHeadModel", "Olmo2ForCausalLM", "PhiForCausalLM"}
"""The first gives its output the shape of its input, the second has no norm before attention, the third one for all."""
PLACES = torch.tensor([0, 3, 8, 9, 17])


@pytest.fixture(scope="module", params=sorted(ARCHITECTURES))
def base(request, tmp_path_factory):
    torch.set_num_threads(1)
    return load_architecture(tmp_path_factory.mktemp("architecture"), request.param)


@pytest.fixture
def inputs():
    return {"input_ids": torch.randint(0, 10, (2, 9), generator=torch.Generator().manual_seed(1)), "use_cache": False}


@torch.inference_mode()
def test_logits_at_some_places_are_those_of_the_whole_pass(base, inputs):
    states = LastStates(base)
    found = states.head(states.at(inputs, PLACES))
    torch.testing.assert_close(found, base.model(**inputs).logits.flatten(0, 1)[PLACES], rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_last_layer_has_fewer_places_wherever_that_is_exact(base, inputs):
    assert narrows(base) == (type(base.model).__name__ not in WHOLE_ALWAYS)
    last = last_layer(base.model)
    if last is None:
        return
    seen = []
    rest = next(module for name, module in last.layer.named_modules() if name.endswith("mlp"))
    rest.register_forward_hook(lambda *call: seen.append(call[2].shape[:-1].numel()))
    LastStates(base).at(inputs, PLACES)
    assert seen == [len(PLACES) if narrows(base) else inputs["input_ids"].numel()]


@torch.inference_mode()
def test_model_is_whole_again_after_a_pass_that_fails(base, inputs):
    before = base.model(**inputs).logits
    states = LastStates(base)

    def fails(*_: object) -> None:
        raise RuntimeError("out of memory")

    handle = base.model.base_model.register_forward_hook(fails)
    with pytest.raises(RuntimeError, match="out of memory"):
        states.at(inputs, PLACES)
    handle.remove()
    assert torch.equal(base.model(**inputs).logits, before)

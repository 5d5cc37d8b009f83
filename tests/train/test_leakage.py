"""Packed examples learn what they would learn alone, and a detector of leaks that sees every way of breaking that."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sftlab.lm.base import LoadedBase
from sftlab.lm.encoding import EncodedExamples
from sftlab.lm.kernel import Kernel
from sftlab.lm.packed_attention import PACKED, boundaries
from sftlab.lm.product_attention import PRODUCTS
from sftlab.lm.token_loss import TokenBatch, has_plain_head, packed_batch, padded_batch, token_losses
from tests.lm.architectures import ARCHITECTURES, load_architecture
from tests.lm.token_arrays import answered, masks, token_arrays
from tests.train.runs import FULL, LORA, data, spec, train
from tests.train.steps import assert_same_step, step_over

MASKS = [answered(13, 4), answered(5, 2), answered(9, 1), answered(21, 12)]
Change = Callable[[TokenBatch, np.ndarray], Mapping[str, object]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("architectures")


def _unchanged(_batch: TokenBatch, _lengths: np.ndarray) -> Mapping[str, object]:
    return {}


def _one_example(_batch: TokenBatch, lengths: np.ndarray) -> Mapping[str, object]:
    return boundaries(np.array([lengths.sum()]), torch.device("cpu")).arguments


def _a_boundary_missing(_batch: TokenBatch, lengths: np.ndarray) -> Mapping[str, object]:
    return boundaries(np.array([lengths[0], lengths[1] + lengths[2], *lengths[3:]]), torch.device("cpu")).arguments


def _boundaries_one_late(_batch: TokenBatch, lengths: np.ndarray) -> Mapping[str, object]:
    late = [lengths[0] + 1, *lengths[1:-1], lengths[-1] - 1]
    return boundaries(np.array(late), torch.device("cpu")).arguments


def losses_by_example(base: LoadedBase, encoded: EncodedExamples, change: Change = _unchanged) -> list[torch.Tensor]:
    """Losses of the learned tokens of each example, all in one packed row, whose arguments may be tampered with."""
    batch = packed_batch(encoded, range(len(encoded)), base)
    batch = replace(batch, arguments={**batch.arguments, **change(batch, encoded.lengths)})
    with torch.inference_mode(), Kernel(PACKED).attending(base.model):
        losses = token_losses(base, batch, plain_head=has_plain_head(base))
    return [losses[batch.examples == number] for number in range(len(encoded))]


def leaks(base: LoadedBase, encoded: EncodedExamples, change: Change = _unchanged) -> set[tuple[int, int]]:
    """Pairs (i, j) of examples where other tokens in i change a loss in j."""
    before = losses_by_example(base, encoded, change)
    found = set()
    for one in range(len(encoded)):
        ids = encoded.ids.copy()
        span = slice(encoded.offsets[one], encoded.offsets[one + 1])
        ids[span] = 6 + (ids[span] - 6 + 7) % 24
        after = losses_by_example(base, replace(encoded, ids=ids), change)
        assert not torch.equal(after[one], before[one])
        others = (other for other in range(len(encoded)) if other != one)
        found |= {(one, other) for other in others if not torch.allclose(after[other], before[other], atol=1e-6)}
    return found


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_packed_examples_do_not_leak(name, folder):
    assert leaks(load_architecture(folder, name), token_arrays(MASKS)) == set()


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize(
    ("broken", "seen"),
    [
        (_one_example, {(0, 1), (1, 2), (2, 3)}),
        (_a_boundary_missing, {(1, 2)}),
        (_boundaries_one_late, {(1, 2)}),
    ],
    ids=["one_example", "a_boundary_missing", "boundaries_one_late"],
)
def test_detector_sees_examples_that_attend_to_others(name, broken, seen, folder):
    found = leaks(load_architecture(folder, name), token_arrays(MASKS), broken)
    assert found >= seen
    assert all(earlier < later for earlier, later in found)
    assert broken is _one_example or found == seen


def _padded_losses(base: LoadedBase, encoded: EncodedExamples) -> list[torch.Tensor]:
    batch = padded_batch(encoded, range(len(encoded)), base)
    with torch.inference_mode():
        losses = token_losses(base, batch, plain_head=has_plain_head(base))
    return [losses[batch.examples == number] for number in range(len(encoded))]


def _positions_that_go_on(batch: TokenBatch, _lengths: np.ndarray) -> Mapping[str, object]:
    return {"position_ids": torch.arange(batch.ids.shape[1])[None]}


def test_positions_restart_at_every_example(folder):
    base, encoded = load_architecture(folder, "GPT2"), token_arrays(MASKS)
    alone = _padded_losses(base, encoded)
    packed, broken = (losses_by_example(base, encoded, change) for change in (_unchanged, _positions_that_go_on))
    for number in range(len(MASKS)):
        assert torch.allclose(packed[number], alone[number], atol=1e-5)
        assert torch.allclose(broken[number], alone[number], atol=1e-5) == (number == 0)


@pytest.mark.parametrize("kernel", [Kernel(PACKED), Kernel(PRODUCTS)], ids=["packed", "products"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_loss_and_gradients_are_those_of_padded_examples(name, kernel, folder):
    base, encoded = load_architecture(folder, name), token_arrays(MASKS)
    padded = step_over(base, encoded)
    base.kernel = kernel
    assert_same_step(step_over(base, encoded), padded)
    assert_same_step(step_over(base, encoded, micro_tokens=30), padded)


@pytest.mark.parametrize("name", ["Mistral", "Gemma2", "GPT2"])
def test_recomputed_activations_are_those_of_packed_examples(name, folder):
    base, encoded = load_architecture(folder, name), token_arrays(MASKS)
    padded = step_over(base, encoded)
    base.kernel = Kernel(PACKED)
    base.model.train().gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    assert_same_step(step_over(base, encoded), padded)


@pytest.mark.parametrize("name", ["Llama", "Mistral"])
@settings(max_examples=12, deadline=None)
@given(drawn=masks(), micro_tokens=st.integers(1, 80))
def test_packed_is_padded_whatever_the_lengths(name, drawn, micro_tokens, folder):
    base, encoded = load_architecture(folder, name), token_arrays(drawn)
    padded = step_over(base, encoded)
    base.kernel = Kernel(PACKED)
    assert_same_step(step_over(base, encoded, micro_tokens=micro_tokens), padded)


@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("attention", [PACKED, PRODUCTS])
def test_run_ends_the_same_packed_or_padded(attention, method, folder, tmp_path):
    base = load_architecture(folder, "Mistral")
    given_data = data(base, tmp_path, count=12)
    run = spec(method=method, epochs=1)
    padded = train(base, run, given_data, tmp_path / "padded")
    weights = {name: weight.clone() for name, weight in base.weights().items()}
    base.kernel = Kernel(attention)
    other = train(base, run, given_data, tmp_path / attention, max_micro_tokens=300)
    for table in ("losses", "validation"):
        assert other.rows[table]["loss"].to_list() == pytest.approx(padded.rows[table]["loss"].to_list(), rel=1e-5)
    for name, weight in base.weights().items():
        assert torch.allclose(weight, weights[name], rtol=0.0, atol=1e-5), name

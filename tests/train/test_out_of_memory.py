"""Memory that runs out at any stage of a run changes how it is done, and never what comes out."""

import pytest
import torch

from sftlab.errors import TrainingError
from sftlab.lm import example_loss
from sftlab.train import optimizer_step, session
from tests.lm.models import load
from tests.train.runs import FULL, LORA, data, spec, train

OFFLOADED = FULL.model_copy(update={"offload": "optimizer"})


class Allocator:
    """Fails on purpose: whenever a pass is larger than `limit`, or the given number of times at a stage."""

    def __init__(self) -> None:
        self.failures = 0

    def fail(self) -> None:
        self.failures += 1
        raise torch.OutOfMemoryError("out of memory on purpose")


@pytest.fixture
def allocator() -> Allocator:
    return Allocator()


def _losses(trained):
    return trained.rows["losses"]["loss"].to_list()


def _limit_forward(allocator, monkeypatch, limit, *, place=optimizer_step, unless=lambda: False):
    whole = place.token_losses

    def limited(base, batch, *, plain_head):
        if batch.ids.numel() > limit and not unless():
            allocator.fail()
        return whole(base, batch, plain_head=plain_head)

    monkeypatch.setattr(place, "token_losses", limited)


class _FailsBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, losses, allocator):
        ctx.allocator = allocator
        return losses.clone()

    @staticmethod
    def backward(ctx, _gradient):
        ctx.allocator.fail()


def _limit_backward(allocator, monkeypatch, limit):
    whole = optimizer_step.token_losses

    def limited(base, batch, *, plain_head):
        losses = whole(base, batch, plain_head=plain_head)
        return _FailsBackward.apply(losses, allocator) if batch.ids.numel() > limit else losses

    monkeypatch.setattr(optimizer_step, "token_losses", limited)


@pytest.mark.parametrize("stage", [_limit_forward, _limit_backward], ids=["forward", "backward"])
@pytest.mark.parametrize("method", [FULL, LORA, OFFLOADED], ids=["full", "lora", "offloaded"])
def test_passes_are_halved_until_they_fit(stage, method, allocator, bases, tmp_path, monkeypatch):
    base = load(bases, "llama")
    given = data(base, tmp_path)
    usual = train(base, spec(method=method), given, tmp_path / "usual")
    stage(allocator, monkeypatch, 60)
    cramped = train(base, spec(method=method), given, tmp_path / "cramped", max_micro_tokens=400)
    assert allocator.failures > 0
    assert _losses(cramped) == pytest.approx(_losses(usual), rel=1e-5)
    assert cramped.result["events"][0] == "passes of at most 200 tokens from step 1"
    assert cramped.result["unfit"] == usual.result["unfit"] == 0
    assert usual.result["events"] == []


def test_activations_are_recomputed_where_halving_is_not_enough(allocator, bases, tmp_path, monkeypatch):
    base = load(bases, "llama")
    given = data(base, tmp_path)
    usual = train(base, spec(), given, tmp_path / "usual")
    _limit_forward(allocator, monkeypatch, 1, unless=lambda: base.model.is_gradient_checkpointing)
    cramped = train(base, spec(), given, tmp_path / "cramped")
    assert _losses(cramped) == pytest.approx(_losses(usual), rel=1e-5)
    assert cramped.result["events"][-1] == "activations recomputed from step 1"
    assert not base.model.is_gradient_checkpointing


def test_only_examples_that_alone_do_not_fit_are_left_out(allocator, bases, tmp_path, monkeypatch):
    base = load(bases, "llama")
    given = data(base, tmp_path)
    longest = sorted(given.train.lengths)[-3]
    too_long = int((given.train.lengths > longest).sum())
    assert 0 < too_long < 3
    _limit_forward(allocator, monkeypatch, longest)
    cramped = train(base, spec(), given, tmp_path)
    assert cramped.result["unfit"] == too_long
    left_out = [event for event in cramped.result["events"] if "left out" in event]
    assert len(left_out) == too_long
    assert "it does not fit alone" in left_out[0]
    per_epoch = int(given.train.lengths[given.train.lengths <= longest].sum())
    assert cramped.rows["losses"].filter(epoch=2)["tokens"].sum() == per_epoch
    assert cramped.rows["losses"].height == 12


def test_step_of_which_nothing_fits_is_passed_over(allocator, bases, tmp_path, monkeypatch):
    base = load(bases, "llama")
    given = data(base, tmp_path, count=12)
    longest = int(given.train.lengths.max())
    _limit_forward(allocator, monkeypatch, longest - 1)
    one_by_one = FULL.model_copy(update={"batch_size": (1,)})
    cramped = train(base, spec(method=one_by_one, samples=12), given, tmp_path)
    left_out = int((given.train.lengths == longest).sum())
    assert cramped.result["unfit"] == left_out
    assert cramped.rows["losses"].height == 2 * (12 - left_out)
    assert cramped.result["steps"] == 24


def test_run_of_which_nothing_fits_ends_in_one_sentence(allocator, bases, tmp_path, monkeypatch):
    base = load(bases, "llama")
    given = data(base, tmp_path, count=12)
    _limit_forward(allocator, monkeypatch, 3)
    with pytest.raises(TrainingError, match="no example fits into memory beside llama, not even one of"):
        train(base, spec(samples=12), given, tmp_path)
    assert not base.model.is_gradient_checkpointing
    for name, weight in base.weights().items():
        assert torch.equal(weight, base.pristine[name])


def test_optimizer_and_measuring_try_again_with_memory_let_go(allocator, bases, tmp_path, monkeypatch):
    base = load(bases, "llama")
    given = data(base, tmp_path)
    usual = train(base, spec(), given, tmp_path / "usual")
    step, change = torch.optim.AdamW.step, session.loaded_weight_change

    def once(work):
        failed = []

        def limited(*given):
            if not failed:
                failed.append(1)
                allocator.fail()
            return work(*given)

        return limited

    monkeypatch.setattr(torch.optim.AdamW, "step", once(step))
    monkeypatch.setattr(session, "loaded_weight_change", once(change))
    cramped = train(base, spec(), given, tmp_path / "cramped")
    assert allocator.failures == 2
    assert _losses(cramped) == _losses(usual)
    assert cramped.rows["layers"].equals(usual.rows["layers"])


def test_validation_is_done_in_parts(allocator, bases, tmp_path, monkeypatch):
    base = load(bases, "llama")
    given = data(base, tmp_path, held_out=40)
    usual = train(base, spec(), given, tmp_path / "usual")
    _limit_forward(allocator, monkeypatch, 200, place=example_loss)
    cramped = train(load(bases, "llama"), spec(), given, tmp_path / "cramped")
    assert allocator.failures > 0
    assert cramped.rows["validation"]["loss"].to_list() == pytest.approx(
        usual.rows["validation"]["loss"].to_list(), rel=1e-5
    )


def test_run_that_gave_way_gives_way_no_more_when_resumed(allocator, bases, tmp_path, monkeypatch):
    base = load(bases, "llama")
    given = data(base, tmp_path)
    longest = sorted(given.train.lengths)[-3]
    _limit_forward(allocator, monkeypatch, longest)
    whole = train(base, spec(), given, tmp_path / "whole")

    class InterruptedRunError(Exception):
        pass

    def stop(progress) -> None:
        if progress.step == 9:
            raise InterruptedRunError

    with pytest.raises(InterruptedRunError):
        train(base, spec(), given, tmp_path / "cut", on_progress=stop)
    resumed = train(base, spec(), given, tmp_path / "cut")
    assert _losses(resumed) == _losses(whole)
    assert resumed.result["events"] == whole.result["events"]

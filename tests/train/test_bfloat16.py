"""Pure bfloat16 against a plain loop with the same casts: weights, gradients and moments in bfloat16, loss float32."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM

from sftlab.study.declaration import Precision
from sftlab.train.order import epoch_batches
from tests.lm.models import load
from tests.train.runs import FULL, data, spec, train

PURE = {"weights": "bfloat16", "compute": "bfloat16"}
ROUNDING = 2.0**-9
"""Largest relative error of one rounding to bfloat16."""


def _batch(encoded, numbers):
    spans = [slice(encoded.offsets[number], encoded.offsets[number + 1]) for number in numbers]
    width = max(span.stop - span.start for span in spans)
    ids = np.zeros((len(spans), width), np.int64)
    labels = np.full((len(spans), width), -100)
    mask = np.zeros((len(spans), width), np.int64)
    for row, span in enumerate(spans):
        length = span.stop - span.start
        ids[row, :length] = encoded.ids[span]
        labels[row, :length] = np.where(encoded.learned[span], encoded.ids[span], -100)
        mask[row, :length] = 1
    return torch.from_numpy(ids), torch.from_numpy(labels), torch.from_numpy(mask)


def _plain_loop(base, encoded, run, dtype):
    """Batches in our order, everything else by hand: shift, sum, schedule, clipping, decoupled AdamW."""
    model = AutoModelForCausalLM.from_pretrained(base.ref.model, dtype=dtype).train()
    weights = list(model.parameters())
    moments = [(torch.zeros_like(weight), torch.zeros_like(weight)) for weight in weights]
    batches = [
        batch
        for epoch in range(1, run.epochs + 1)
        for batch in epoch_batches(encoded, batch_size=run.batch_size, seed=run.seeds.order, epoch=epoch)
    ]
    losses = []
    for step, numbers in enumerate(batches, start=1):
        ids, labels, mask = _batch(encoded, numbers)
        logits = model(input_ids=ids, attention_mask=mask).logits
        total = functional.cross_entropy(logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
        loss = total / int((labels != -100).sum())
        loss.backward()
        losses.append(float(loss))
        norm = math.sqrt(sum(float(weight.grad.float().square().sum()) for weight in weights))
        done, warm = step - 1, run.warmup_steps
        share = (done - warm) / (len(batches) - warm)
        rate = run.learning_rate * (done / warm if done < warm else 0.5 * (1 + math.cos(math.pi * share)))
        with torch.no_grad():
            for weight, (first, second) in zip(weights, moments, strict=True):
                gradient = weight.grad * min(1.0, run.method.max_grad_norm / (norm + 1e-6))
                # Each quantity is kept in the weights' type between steps and computed in float32.
                first.copy_(0.9 * first.float() + 0.1 * gradient.float())
                second.copy_(0.999 * second.float() + 0.001 * gradient.float().square())
                root = (second.float() / (1 - 0.999**step)).sqrt() + 1e-8
                weight.copy_(weight.float() - rate * (first.float() / (1 - 0.9**step)) / root)
                weight.grad = None
    return losses, dict(model.named_parameters())


@pytest.mark.parametrize("kind", ["llama", "gpt2", "neox"])
def test_pure_bfloat16_is_the_plain_loop_with_the_same_casts(kind, bases, tmp_path):
    base = load(bases, kind, **PURE)
    assert {weight.dtype for weight in base.weights().values()} == {torch.bfloat16}
    run = spec(method=FULL, precision=Precision(**PURE))
    given = data(base, tmp_path)
    ours = train(base, run, given, tmp_path).rows["losses"]["loss"].to_list()
    theirs, tuned = _plain_loop(base, given.train, run, torch.bfloat16)
    assert len(ours) == len(theirs) == 12
    assert ours == pytest.approx(theirs, rel=ROUNDING)
    assert theirs[-1] < 0.9 * theirs[0]

    def flat(weights):
        return torch.cat([weight.detach().float().flatten() for _, weight in sorted(weights.items())])

    start, end, other = flat(base.pristine), flat(base.weights()), flat({name: tuned[name] for name in base.pristine})
    moved = (other - start).norm()
    _, single = _plain_loop(base, given.train, run, torch.float32)
    rounded = (flat({name: single[name] for name in base.pristine}) - other).norm() / moved
    # Nearer to the loop with the same casts than that one is to float32: the casts are where they are said to be.
    assert (end - other).norm() < 0.05 * moved
    assert (end - other).norm() < 0.5 * rounded * moved

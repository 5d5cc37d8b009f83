"""AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101) over what a run trains."""

from collections.abc import Mapping

import torch
from torch import nn

from sftlab.study.run import RunSpec


def make_optimizer(parameters: Mapping[str, nn.Parameter], spec: RunSpec) -> torch.optim.AdamW:
    """The run's optimizer; with `decay: matrices` its weight decay spares vectors, that is norms and biases."""
    method = spec.method
    decayed = [weight for weight in parameters.values() if method.decay == "all" or weight.ndim > 1]
    spared = [weight for weight in parameters.values() if method.decay == "matrices" and weight.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": method.weight_decay}, {"params": spared, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=spec.learning_rate,
        betas=method.betas,
        eps=method.epsilon,
        fused=True,
    )

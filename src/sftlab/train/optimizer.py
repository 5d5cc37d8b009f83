"""AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101) over what a run trains."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sftlab.lm.bitsandbytes import load_bitsandbytes
from sftlab.lm.parameters import part_of
from sftlab.study.methods import MethodParameters
from sftlab.study.run import RunSpec

LEVELS = frozenset({"qmap1", "qmap2"})
"""Of eight-bit moments: the values that all of them are rounded to, which the optimizer makes itself."""


def make_optimizer(parameters: Mapping[str, nn.Parameter], spec: RunSpec) -> torch.optim.Optimizer:
    """The run's optimizer; with `decay: matrices` its weight decay spares vectors, that is norms and biases.

    With `optimizer: adamw_8bit` the moments of embeddings stay in 32 bits, as in transformers: their gradients are too
    uneven for blocks. Raises StudyError where bitsandbytes is needed and absent.
    """
    groups: dict[tuple[float, int], list[nn.Parameter]] = {}
    for name, weight in parameters.items():
        groups.setdefault(_handling(name, weight, spec.method), []).append(weight)
    options: dict[str, Any] = {"lr": spec.learning_rate, "betas": spec.method.betas, "eps": spec.method.epsilon}
    if spec.method.optimizer == "adamw":
        plain = [{"params": weights, "weight_decay": decay} for (decay, _), weights in groups.items()]
        return torch.optim.AdamW(plain, **options, fused=True)
    load_bitsandbytes()
    from sftlab.train.eight_bit import EightBitAdamW

    return EightBitAdamW(
        [{"params": weights, "weight_decay": decay, "optim_bits": bits} for (decay, bits), weights in groups.items()],
        **options,
    )


def kept_moments(optimizer: torch.optim.Optimizer, weight: nn.Parameter) -> dict[str, Tensor]:
    """What an optimizer knows of a parameter and cannot make again, as tensors."""
    return {name: torch.as_tensor(value) for name, value in optimizer.state[weight].items() if name not in LEVELS}


def _handling(name: str, weight: nn.Parameter, method: MethodParameters) -> tuple[float, int]:
    """Weight decay of a parameter, and the bits of its moments."""
    is_spared = method.decay == "matrices" and weight.ndim <= 1
    is_in_blocks = method.optimizer == "adamw_8bit" and part_of(name) != "embedding"
    return 0.0 if is_spared else method.weight_decay, 8 if is_in_blocks else 32

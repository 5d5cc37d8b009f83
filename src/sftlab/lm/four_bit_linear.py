"""A linear map whose weight is held in four bits and never changes."""

from typing import Any

import torch
from torch import Tensor, nn

from sftlab.lm.bitsandbytes import load_bitsandbytes


class FourBitLinear(nn.Module):
    """W x + bias with a quantised W: `packed`, and the scales and levels in `state` that bitsandbytes made with it.

    It is not bitsandbytes' own module, which on some processors rearranges its weight when it is first evaluated and
    gives no gradients from then on. W is no parameter: there is nothing to train, to copy or to reset.
    """

    packed: Tensor

    def __init__(self, packed: Tensor, state: Any, *, bias: Tensor | None, compute: torch.dtype) -> None:  # noqa: ANN401
        super().__init__()
        self.register_buffer("packed", packed, persistent=False)
        self.state = state
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.compute = compute
        self.out_features, self.in_features = state.shape

    def forward(self, x: Tensor) -> Tensor:
        """Computed in the type of compute and given in the type of the input."""
        bias = None if self.bias is None else self.bias.to(self.compute)
        product: Tensor = load_bitsandbytes().matmul_4bit(x.to(self.compute), self.packed, self.state, bias=bias)
        return product.to(x.dtype)

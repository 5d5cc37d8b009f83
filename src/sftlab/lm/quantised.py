"""Linear maps whose weights are held in four bits (Dettmers et al. 2023, arXiv 2305.14314), by bitsandbytes."""

import torch
from torch import Tensor, nn

from sftlab.errors import ModelError
from sftlab.lm.adapters import linear_modules
from sftlab.lm.bitsandbytes import load_bitsandbytes
from sftlab.lm.four_bit_linear import FourBitLinear
from sftlab.study.methods import Quantisation

BLOCK = 64
"""Weights that share a scale, as in the paper."""


def quantise(model: nn.Module, quantisation: Quantisation, *, device: str, compute: torch.dtype) -> dict[str, float]:
    """Put the model's linear maps into four bits on the device, in place; all but the head, which stays as it is.

    One map after the other: never is more than one of them whole on the device. Returns the squared norms that all
    weights had before, in double precision, which relative changes are taken of. Raises ModelError where a weight is
    not a plain linear map's, StudyError where bitsandbytes is not installed.
    """
    norms = {name: _squared_norm(weight) for name, weight in model.named_parameters()}
    for name in linear_modules(model):
        module = model.get_submodule(name)
        if not isinstance(module, nn.Linear):
            raise ModelError(
                f"{name} is a {type(module).__name__}, and only plain linear maps are quantised: train this base with "
                "`adapter: lora`"
            )
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, _four_bits(module, quantisation, device=device, compute=compute))
    return norms


def _four_bits(module: nn.Linear, quantisation: Quantisation, *, device: str, compute: torch.dtype) -> FourBitLinear:
    quantize = load_bitsandbytes().functional.quantize_4bit
    packed, state = quantize(
        module.weight.detach().to(device),
        blocksize=BLOCK,
        compress_statistics=quantisation.double,
        quant_type=quantisation.kind,
    )
    bias = None if module.bias is None else module.bias.detach().to(device)
    return FourBitLinear(packed, state, bias=bias, compute=compute)


def _squared_norm(weight: Tensor) -> float:
    return float(torch.linalg.vector_norm(weight.detach(), dtype=torch.float64).item() ** 2)

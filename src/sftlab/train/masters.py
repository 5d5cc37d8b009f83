"""The weights that an optimizer steps: those the model computes with, or others in the host's memory."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from sftlab.errors import TrainingError
from sftlab.lm.adapters import linear_modules
from sftlab.lm.base import LoadedBase
from sftlab.study.methods import MethodParameters


class Masters:
    """The trained weights by name, which are those the model computes with."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self.parameters = dict(parameters)
        self.with_gradients = list(self.parameters.values())

    def send(self) -> None:
        """Let the model compute with the weights as they are now."""

    def release(self) -> None:
        """Leave the weights on the model alone, in their own type."""


class HostMasters(Masters):
    """Weights, their gradients and all that an optimizer knows of them in the host's memory.

    The device keeps a copy, matrices in the type they are multiplied in, which is what they would be rounded to in any
    case; the embedding and the head, which are used in other ways as well, stay as they are. A gradient goes to the
    host as soon as it is whole, and is summed up there over the passes of a step, in the type it would have on the
    device: the result is the same to the last bit where both compute alike.
    """

    def __init__(self, base: LoadedBase, parameters: Mapping[str, nn.Parameter]) -> None:
        host = {name: nn.Parameter(_on_host(weight)) for name, weight in parameters.items()}
        super().__init__(host)
        self._base = base
        self._device = dict(parameters)
        self._gradients: dict[str, Tensor] = {}
        rounded = _multiplied_in_bfloat16(base)
        for weight in self._device.values():
            if id(weight) in rounded:
                weight.data = weight.data.to(torch.bfloat16)
        self._hooks = [
            weight.register_post_accumulate_grad_hook(partial(self._take, name))  # type: ignore[no-untyped-call]
            for name, weight in self._device.items()
        ]
        self.with_gradients = [*host.values(), *self._device.values()]
        base.masters = {name: weight for name, weight in host.items() if name in base.pristine}

    def _take(self, name: str, weight: nn.Parameter) -> None:
        assert weight.grad is not None
        master = self.parameters[name]
        if master.grad is None:
            if name not in self._gradients:
                self._gradients[name] = _on_host(torch.empty_like(master))
            master.grad = self._gradients[name].copy_(weight.grad)
        else:
            master.grad += weight.grad.to("cpu", master.dtype)
        weight.grad = None

    def send(self) -> None:
        """Copy the weights to the device, rounded where they are so there."""
        with torch.no_grad():
            for name, weight in self._device.items():
                weight.copy_(self.parameters[name], non_blocking=True)

    def release(self) -> None:
        """Copy the weights to the device in their own type, and let the host's memory go."""
        for hook in self._hooks:
            hook.remove()
        for name, weight in self._device.items():
            weight.data = self.parameters[name].detach().to(weight.device, copy=True)
        self._base.masters = {}
        self._gradients.clear()


def place_masters(base: LoadedBase, parameters: Mapping[str, nn.Parameter], method: MethodParameters) -> Masters:
    """The weights to step, where the method wants them.

    Raises TrainingError where several devices share a model and the method is for one.
    """
    if base.ranks.count > 1 and (method.offload != "none" or method.optimizer != "adamw"):
        raise TrainingError(
            "a model on several devices is trained by `optimizer: adamw` and `offload: none`, got "
            f"`optimizer: {method.optimizer}` and `offload: {method.offload}`: give it one device, or these"
        )
    return HostMasters(base, parameters) if method.offload == "optimizer" else Masters(parameters)


def _on_host(weight: Tensor) -> Tensor:
    copy = weight.detach().to("cpu", copy=True)
    return copy.pin_memory() if torch.cuda.is_available() else copy


def _multiplied_in_bfloat16(base: LoadedBase) -> set[int]:
    """Identities of the weights that are used for nothing but products in bfloat16."""
    if base.precision.weights == base.precision.compute:
        return set()
    embedding, head = base.model.get_input_embeddings(), base.model.get_output_embeddings()
    used_otherwise = {id(module.weight) for module in (embedding, head) if module is not None}
    matrices = (getattr(base.model.get_submodule(name), "weight", None) for name in linear_modules(base.model))
    return {id(matrix) for matrix in matrices if matrix is not None} - used_otherwise

"""One model over several devices: fully sharded data parallelism (Zhao et al. 2023, arXiv 2304.11277).

Every rank holds an equal part of each weight, of its gradient and of the optimizer's moments; the weights of a layer
are put together for as long as it computes. Built on PyTorch's `fully_shard`.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from sftlab.lm.base import LoadedBase
from sftlab.lm.ranks import Groups, Pass, Ranks, dealt_passes
from sftlab.lm.token_loss import has_plain_head

T = TypeVar("T")

PATIENCE = timedelta(minutes=60)
"""How long a rank waits for another, which may be writing a checkpoint."""


class _Root(nn.Module):
    """What the ranks enter to use a model or a part of it: weights outside layers are whole inside."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, work: Callable[[], T]) -> T:
        return work()


class ShardedRanks(Ranks):
    """Several processes, one device each; all of them call the same methods in the same order."""

    def __init__(self, mesh: DeviceMesh, root: nn.Module) -> None:
        self.index = mesh.get_local_rank()
        self.count = mesh.size()
        self._root = root

    def run(self, work: Callable[[], T]) -> T:
        """Do what calls the model inside its root.

        Weights that are put together inside inference mode could not be used outside it.
        """
        inference = torch.is_inference_mode_enabled()
        without: AbstractContextManager[Any] = torch.no_grad() if inference else nullcontext()
        with torch.inference_mode(mode=False), without:
            found: T = self._root(work)
        return found

    def own(self, weight: Tensor) -> Tensor:
        """This rank's part of a sharded weight; the whole of one that every rank holds."""
        if not isinstance(weight, DTensor):
            return weight.detach()
        part: Tensor = weight.to_local()
        return part.detach()

    def own_like(self, weight: Tensor, whole: Tensor) -> Tensor:
        """Sharded as the weight is, if it is and the tensor has its shape."""
        if not isinstance(weight, DTensor) or whole.shape != weight.shape:
            return whole
        return distribute_tensor(whole, weight.device_mesh, weight.placements, src_data_rank=None)

    def fill(self, weight: Tensor, whole: Tensor) -> None:
        """Take this rank's part of the whole."""
        self.own(weight).copy_(self.own(self.own_like(weight, whole)))

    def whole(self, value: Tensor) -> Tensor:
        """Put together on every rank."""
        found: Tensor = value.full_tensor() if isinstance(value, DTensor) else value
        return found

    def gathered(self, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """One tensor at a time is whole on the devices."""
        found = {}
        for name, tensor in tensors:
            whole = self.whole(tensor)
            if self.is_first:
                found[name] = whole.detach().cpu().contiguous()
        return found

    def total(self, value: Tensor) -> Tensor:
        """Summed on the device the value is on."""
        summed = value.detach().clone()
        dist.all_reduce(summed)
        return summed

    def totals(self, values: Mapping[str, float]) -> dict[str, float]:
        """All of them at once."""
        summed = self.total(torch.tensor(list(values.values()), dtype=torch.float64))
        return dict(zip(values, summed.tolist(), strict=True))

    def most(self, value: int) -> int:
        """Told between the hosts."""
        found = torch.tensor(value)
        dist.all_reduce(found, op=dist.ReduceOp.MAX)
        return int(found)

    def join_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Those of adapters, in one exchange."""
        gradients = [
            parameter.grad
            for parameter in parameters
            if parameter.grad is not None and not isinstance(parameter.grad, DTensor)
        ]
        if not gradients:
            return
        summed = self.total(torch.cat([gradient.flatten() for gradient in gradients]))
        pieces = torch.split(summed, [gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))

    def agreed(self, value: T) -> T:
        """Told between the hosts, without waiting for a device."""
        said = [value]
        dist.broadcast_object_list(said, src=0, device=torch.device("cpu"))
        return said[0]

    def passes(self, lengths: NDArray[np.int64], groups: Groups) -> list[Pass]:
        """See `dealt_passes`."""
        return dealt_passes(lengths, groups, index=self.index, count=self.count)


def shard(base: LoadedBase, mesh: DeviceMesh) -> None:
    """Part a base, which was loaded on the CPU, among the devices of a mesh, and its untouched copy with it."""
    has_plain_head(base)
    root = _Root(base.model)
    for layer in _layers(base.model):
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    fully_shard(root, mesh=mesh, reshard_after_forward=True)
    for module in root.modules():
        if isinstance(module, FSDPModule):
            # Losses have the denominator of the whole step: gradients are summed, not averaged.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    kind = mesh.device_type
    base.ranks = ShardedRanks(mesh, root)
    base.device = torch.device(kind, torch.cuda.current_device()) if kind == "cuda" else torch.device(kind)
    base.pristine = {name: base.ranks.own(weight).to("cpu", copy=True) for name, weight in base.weights().items()}


def meet(place: Path, *, index: int, count: int, device: str) -> DeviceMesh:
    """Come together with the other ranks, which know the same file; `device` is where this one computes.

    Between CPUs by gloo, between CUDA devices by NCCL with gloo beside it.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.set_device(torch.device(device))
    else:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    store = dist.FileStore(str(place), count)  # type: ignore[attr-defined]
    backend = "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=index, world_size=count, timeout=PATIENCE)
    return init_device_mesh(kind, (count,))


def misses_another_rank(error: BaseException) -> bool:
    """Whether an error says that another rank has gone, or did not come in time."""
    text = str(error).lower()
    return isinstance(error, dist.DistError) or any(word in text for word in ("gloo", "nccl", "closed by peer"))


def _layers(model: Any) -> list[nn.Module]:  # noqa: ANN401 - any transformers model
    """The modules that transformers keeps in one piece when it parts a model: its layers."""
    kinds = set(getattr(model, "_no_split_modules", None) or ())
    return [module for module in model.modules() if type(module).__name__ in kinds]

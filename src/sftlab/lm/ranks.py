"""The processes that hold one model together, each with a share of its weights and of every batch.

Training, validation and measures are written for any number of them; one process is the plain case, in which a share is
the whole.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

T = TypeVar("T")

Groups = Callable[[NDArray[np.int64]], list[NDArray[np.int64]]]


@dataclass(frozen=True, eq=False)
class Pass:
    """Places of the examples of one pass. Where it does not count it is made only to keep step with other ranks."""

    places: NDArray[np.int64]
    counts: bool = True


class Ranks:
    """This process alone, which holds the whole model."""

    index = 0
    count = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.index == 0

    def run(self, work: Callable[[], T]) -> T:
        """Do what calls the model or its parts; every rank does so as often as any other."""
        return work()

    def own(self, weight: Tensor) -> Tensor:
        """What this rank holds of a weight, to read or to write; nothing to differentiate."""
        return weight.detach()

    def own_like(self, weight: Tensor, whole: Tensor) -> Tensor:
        """A tensor that is laid out as a weight is, from its whole."""
        del weight
        return whole

    def fill(self, weight: Tensor, whole: Tensor) -> None:
        """Give a weight the values of a whole tensor, in place."""
        self.own(weight).copy_(whole)

    def whole(self, value: Tensor) -> Tensor:
        """A quantity that was computed from parts, as every rank needs it."""
        return value

    def gathered(self, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """Whole tensors on the CPU by name, on the first rank; nothing on the others, which have to call it as well."""
        return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors}

    def total(self, value: Tensor) -> Tensor:
        """The sum of a quantity over the ranks."""
        return value

    def totals(self, values: Mapping[str, float]) -> dict[str, float]:
        """The sums of quantities over the ranks, by name, in double precision."""
        return dict(values)

    def most(self, value: int) -> int:
        """The largest of a count over the ranks."""
        return value

    def join_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Sum gradients of parameters that every rank holds whole; those of shared weights are summed as they arise."""

    def agreed(self, value: T) -> T:
        """What the first rank says."""
        return value

    def passes(self, lengths: NDArray[np.int64], groups: Groups) -> list[Pass]:
        """This rank's passes over examples of these lengths, grouped by `groups`; the same number on every rank."""
        return [Pass(places) for places in groups(lengths)]


def dealt_passes(lengths: NDArray[np.int64], groups: Groups, *, index: int, count: int) -> list[Pass]:
    """The passes of one of several ranks: examples are dealt longest first, one to each rank in turn.

    A rank with fewer passes than another, or without any example, fills up with passes over the shortest example that
    do not count.
    """
    order = np.argsort(-lengths, kind="stable")
    of_rank = [[share[group] for group in groups(lengths[share])] for share in _dealt(order, count)]
    missing = max(map(len, of_rank)) - len(of_rank[index])
    return [*map(Pass, of_rank[index]), *[Pass(order[-1:], counts=False)] * missing]


def _dealt(order: NDArray[np.int64], count: int) -> list[NDArray[np.int64]]:
    return [order[rank::count] for rank in range(count)]

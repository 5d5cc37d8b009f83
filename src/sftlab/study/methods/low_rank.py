"""What methods that train a low-rank adapter declare."""

import re
from typing import ClassVar, Literal

from pydantic import Field

from sftlab.study.methods.common import MethodParameters, PositiveFloats


class LowRank(MethodParameters):
    """Each target matrix W is used as W + (alpha / rank) B A; only A and B are trained."""

    version: ClassVar[int] = 1

    learning_rate: PositiveFloats = Field(default=(2.0e-4,), min_length=1)
    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0.0)
    rank_stabilised: bool = Field(
        default=False, description="scale by alpha / sqrt(rank), not alpha / rank (Kalajdzievski 2023)"
    )
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"


def is_target(module: str, target: str) -> bool:
    """Whether a target means a module: by the end of its name, or as a pattern for the whole name."""
    if module == target or module.endswith(f".{target}"):
        return True
    try:
        return re.fullmatch(target, module) is not None
    except re.error:
        return False

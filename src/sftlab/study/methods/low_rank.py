"""What methods that train a low-rank adapter declare."""

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

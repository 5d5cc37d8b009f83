"""Low-rank adaptation (Hu et al. 2021, arXiv 2106.09685)."""

from typing import ClassVar, Literal

from sftlab.study.methods.low_rank import LowRank


class Lora(LowRank):
    """An adapter beside the base's own weights."""

    version: ClassVar[int] = 1

    adapter: Literal["lora"]

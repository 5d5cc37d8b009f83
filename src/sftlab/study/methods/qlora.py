"""Low-rank adaptation of a quantised base (Dettmers et al. 2023, arXiv 2305.14314)."""

from typing import ClassVar, Literal

from pydantic import Field

from sftlab.study.methods.common import Quantisation
from sftlab.study.methods.low_rank import LowRank


class Qlora(LowRank):
    """An adapter beside the base's linear maps in four bits; the head and what is no matrix stay as they are.

    The maps compute in the run's precision. The model is scored as it was trained, on the quantised base.
    """

    version: ClassVar[int] = 1

    adapter: Literal["qlora"]
    quant: Literal["nf4", "fp4"] = Field(
        default="nf4", description="sixteen levels: quantiles of a normal distribution, or four-bit floats"
    )
    double_quant: bool = Field(default=True, description="quantise the scales of the blocks of weights, too")

    @property
    def quantisation(self) -> Quantisation:
        """As the fields say."""
        return Quantisation(self.quant, self.double_quant)

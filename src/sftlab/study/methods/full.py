"""Full fine-tuning, or of a band of layers only."""

from typing import ClassVar, Literal

from pydantic import Field

from sftlab.study.methods.common import MethodParameters


class Full(MethodParameters):
    """All weights are trained, or, with `layers`, those of the layers whose depth lies in the band."""

    version: ClassVar[int] = 1

    adapter: Literal["none"] = "none"
    layers: tuple[float, float] | None = Field(
        default=None, description="band of depth, from 0 (first layer) to 1 (last): only layers in it are trained"
    )

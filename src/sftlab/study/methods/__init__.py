"""Training methods: one declaration a file, found through `METHODS` by the value of `adapter`."""

from typing import Annotated

from pydantic import Discriminator, Tag

from sftlab.study.methods.common import MethodParameters, Quantisation
from sftlab.study.methods.full import Full
from sftlab.study.methods.lora import Lora
from sftlab.study.methods.low_rank import LowRank
from sftlab.study.methods.qlora import Qlora

METHODS: dict[str, type[MethodParameters]] = {"none": Full, "lora": Lora, "qlora": Qlora}


def _adapter_of(value: object) -> str:
    adapter = value.get("adapter", "none") if isinstance(value, dict) else getattr(value, "adapter", "none")
    return str(adapter)


Method = Annotated[
    Annotated[Full, Tag("none")] | Annotated[Lora, Tag("lora")] | Annotated[Qlora, Tag("qlora")],
    Discriminator(_adapter_of),
]

__all__ = ["METHODS", "Full", "Lora", "LowRank", "Method", "MethodParameters", "Qlora", "Quantisation"]

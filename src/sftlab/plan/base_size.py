"""How many weights a base has: counted where it is on this machine, else as the study or the base's name says."""

import json
import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sftlab.study.cells import BaseCell
from sftlab.study.declaration import BaseRef

SIZE_IN_NAME = re.compile(r"(?<![A-Za-z\d.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bmk])(?![A-Za-z])", re.IGNORECASE)
UNITS = {"b": 1e9, "m": 1e6, "k": 1e3}


@dataclass(frozen=True)
class BaseSize:
    """A number of weights and where it is from; None where nothing says it."""

    num_weights: int | None
    source: Literal["files", "parameters", "name", "unknown"]


def base_size(base: BaseRef) -> BaseSize:
    """The size of a base for estimates of cost.

    Headers of its safetensors files, else `parameters` in the study, else a size at the end of its name ("7B", "360M").
    """
    files = Path(base.model).glob("*.safetensors")
    counted = sum(math.prod(shape) for path in files for shape in header_shapes(path).values())
    if counted:
        return BaseSize(counted, "files")
    if base.parameters is not None:
        return BaseSize(round(base.parameters), "parameters")
    sizes = SIZE_IN_NAME.findall(base.model.rstrip("/").rsplit("/", 1)[-1])
    if not sizes:
        return BaseSize(None, "unknown")
    experts, number, unit = sizes[-1]
    return BaseSize(round(int(experts or 1) * float(number) * UNITS[unit.lower()]), "name")


def num_weights(base: BaseCell) -> int:
    """Number of weights; 0 where nothing says it (see `base_size`)."""
    return base_size(base.base).num_weights or 0


def header_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of a safetensors file's tensors by name, from its header alone."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}

"""What a measure says of itself."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Measure:
    """A quantity taken of `data` (under a base) or of a `checkpoint`; a new definition is a new version."""

    name: str
    version: int
    of: Literal["data", "checkpoint"]
    properties: tuple[str, ...]

"""What a measure says of itself."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Measure:
    """A quantity taken of something; a new definition is a new version.

    Of `data` (a sample under a base), of a `similarity` (a sample beside a benchmark, whatever the base), of a
    `checkpoint`'s weights as it is trained, of the `weights` of a checkpoint that is scored, or of a `probe`: what such
    a checkpoint makes of fixed texts. Those by `default` are taken where a study does not say which. `embeds` texts
    with a model of its own.
    """

    name: str
    version: int
    of: Literal["data", "similarity", "checkpoint", "weights", "probe"]
    properties: tuple[str, ...]
    default: bool = True
    embeds: bool = False

"""Quantities of data and weights; those of data are found through `DATA_MEASURES`, by the names a study uses."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sftlab.measure.measured import Measured
    from sftlab.measure.passes import Passes

DataMeasure = Callable[["Passes"], "Measured"]
"""Takes a measure of examples under a base."""


def _perplexity(passes: "Passes") -> "Measured":
    from sftlab.measure.perplexity import response_perplexity

    return response_perplexity(passes)


def _ifd(passes: "Passes") -> "Measured":
    from sftlab.measure.ifd import instruction_following_difficulty

    return instruction_following_difficulty(passes)


def _length(passes: "Passes") -> "Measured":
    from sftlab.measure.length import response_and_prompt_length

    return response_and_prompt_length(passes.encoded)


DATA_MEASURES: Mapping[str, DataMeasure] = {"perplexity": _perplexity, "length": _length, "ifd": _ifd}

__all__ = ["DATA_MEASURES", "DataMeasure"]

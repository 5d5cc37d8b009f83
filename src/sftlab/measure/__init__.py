"""Quantities of data and weights; those of data are found through `DATA_MEASURES`, by the names a study uses."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sftlab.lm.base import LoadedBase
    from sftlab.lm.encoding import EncodedExamples
    from sftlab.measure.measured import Measured


class DataMeasure(Protocol):
    """Takes a measure of examples under a base, in batches of at most so many padded tokens."""

    def __call__(self, base: "LoadedBase", encoded: "EncodedExamples", /, *, max_batch_tokens: int) -> "Measured":
        """The properties, and one row for each example."""


def _perplexity(base: "LoadedBase", encoded: "EncodedExamples", /, *, max_batch_tokens: int) -> "Measured":
    from sftlab.measure.perplexity import response_perplexity

    return response_perplexity(base, encoded, max_batch_tokens=max_batch_tokens)


def _length(_: "LoadedBase", encoded: "EncodedExamples", /, **__: int) -> "Measured":
    from sftlab.measure.length import response_and_prompt_length

    return response_and_prompt_length(encoded)


DATA_MEASURES: Mapping[str, DataMeasure] = {"perplexity": _perplexity, "length": _length}

__all__ = ["DATA_MEASURES", "DataMeasure"]

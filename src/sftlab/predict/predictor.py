"""What a predictor is, and what it says."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sftlab.predict.gain_table import GainTable, Reals


@dataclass(frozen=True, eq=False)
class Predicted:
    """What is expected of every base after every dataset on every benchmark, known or not: arrays B x D x K.

    `half_width` is that of the 95 % interval of the gain that a run would be measured to have, its noise included. NaN
    where the predictor cannot tell.
    """

    gain: Reals
    half_width: Reals

    def __post_init__(self) -> None:
        assert self.gain.shape == self.half_width.shape

    @property
    def variance(self) -> Reals:
        """Variance of the gain, as of a normal distribution of that width."""
        return (self.half_width / NORMAL_HALF_WIDTH) ** 2


NORMAL_HALF_WIDTH = 1.959963984540054


@dataclass(frozen=True)
class Predictor:
    """One way to tell gains that are not known from those that are.

    `fit` sees a table in which what it shall tell is NaN, and nothing else; `available` says whether what it goes by is
    in a table. `words` is what it is called in sentences.
    """

    name: str
    words: str
    fit: Callable[[GainTable], Predicted]
    available: Callable[[GainTable], bool] = lambda table: bool(table.known.any())


def unknown(table: GainTable) -> Reals:
    """An array of nothing but unknown values, B x D x K."""
    return np.full(table.gain.shape, np.nan)

"""What is left out of a table to see whether it can be told from the rest, and what is then told.

Axes: B bases, D datasets, P pairs of datasets, K benchmarks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, zip_longest
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sftlab.predict.gain_table import GainTable, Mask, Reals
from sftlab.predict.predictor import Predicted, Predictor

Question = Literal["new_base", "gap", "new_dataset"]
QUESTIONS: tuple[Question, ...] = ("new_base", "gap", "new_dataset")
MOST_FOLDS = 36
"""Of pairs of cells or datasets that are left out; more tell little more and take their time."""


@dataclass(frozen=True, eq=False)
class Fold:
    """Cells (B x D) whose gains are left out together, and the family or datasets that they are of."""

    left_out: Mask
    units: tuple[str, ...]


def folds(table: GainTable, question: Question, *, at_most: int = MOST_FOLDS) -> list[Fold]:
    """What is left out in turn.

    `new_base`: all bases of a family. `gap`: two datasets at one base, so that two gaps can be ordered; leaving one out
    would not do, as its own absence lowers or raises the mean of what is left against it. `new_dataset`: two datasets
    (with the mixtures that count as the same), for the same reason. Nothing where too little would be left to tell it
    from: another family, another gain of the base, two more datasets.
    """
    if question == "new_base":
        return _families(table)
    if question == "gap":
        return _gaps(table, at_most)
    return list(islice(_dataset_pairs(table), at_most))


def _families(table: GainTable) -> list[Fold]:
    if len(table.tried_families) < 2:
        return []
    found = []
    for family in table.tried_families:
        left_out = np.zeros(table.gain.shape[:2], dtype=np.bool_)
        left_out[[name == family for name in table.families]] = True
        found.append(Fold(left_out, (family,)))
    return found


def _gaps(table: GainTable, at_most: int) -> list[Fold]:
    """For each base in turn the next pair of its datasets, until there are enough."""
    by_base = [_gaps_of_base(table, place) for place in range(len(table.bases))]
    in_turn = (fold for one_each in zip_longest(*by_base) for fold in one_each if fold is not None)
    return list(islice(in_turn, at_most))


def _gaps_of_base(table: GainTable, place: int) -> Iterator[Fold]:
    tried = np.flatnonzero(table.known[place].any(axis=1))
    elsewhere_D: Mask = np.asarray(np.delete(table.known, place, axis=0).any(axis=(0, 2)))
    tried = tried[elsewhere_D[tried]]
    if len(tried) < 3:
        return
    for first, second in _shuffled_pairs(len(tried), place):
        left_out = np.zeros(table.gain.shape[:2], dtype=np.bool_)
        left_out[place, [tried[first], tried[second]]] = True
        yield Fold(left_out, (table.families[place],))


def _dataset_pairs(table: GainTable) -> Iterator[Fold]:
    units = table.tried_units
    if len(units) < 4:
        return
    for first, second in _shuffled_pairs(len(units), 0):
        names = (units[first], units[second])
        left_out = np.zeros(table.gain.shape[:2], dtype=np.bool_)
        left_out[:, [unit in names for unit in table.units]] = True
        yield Fold(left_out, names)


def _shuffled_pairs(count: int, seed: int) -> NDArray[np.int64]:
    """All pairs of so many things (pairs x 2), shuffled: names that stand together are often of one kind."""
    pairs = np.column_stack(np.triu_indices(count, 1))
    return np.random.default_rng(seed).permutation(pairs)


class Fits:
    """What predictors say of a table with cells left out; each is fitted once, whoever asks."""

    def __init__(self, table: GainTable) -> None:
        self.table = table
        self._known: dict[tuple[str, bytes], Predicted] = {}

    def of(self, predictor: Predictor, left_out: Mask) -> Predicted:
        """The predictions of one predictor that does not see these cells."""
        key = predictor.name, left_out.tobytes()
        if key not in self._known:
            self._known[key] = predictor.fit(self.table.without(left_out))
        return self._known[key]


class HeldOut:
    """What was told of cells that were left out, fold by fold, of one question and predictor."""

    def __init__(self, table: GainTable, question: Question) -> None:
        bases, datasets, benchmarks = table.gain.shape
        self.table = table
        self.question = question
        self.first, self.second = np.triu_indices(datasets, 1)
        self.difference = np.full((bases, len(self.first), benchmarks), np.nan)
        self.gain = np.full(table.gain.shape, np.nan)
        self._told = np.zeros(table.gain.shape)
        self._covered = np.zeros(table.gain.shape)
        self._width = np.zeros(table.gain.shape)

    def add(self, fold: Fold, told: Predicted) -> None:
        """Take over what was told of the cells of a fold; known gains alone are of use."""
        asked = self.table.known & fold.left_out[..., None] & ~np.isnan(told.gain)
        gain = np.where(asked, told.gain, np.nan)
        self.gain = np.where(asked, told.gain, self.gain)
        both = asked[:, self.first] & asked[:, self.second]
        told_difference = _rounded(gain[:, self.first] - gain[:, self.second], self.table)
        self.difference = np.where(both, told_difference, self.difference)
        with_interval = asked & ~np.isnan(told.half_width)
        self._told += with_interval
        inside = np.abs(self.table.gain - told.gain) <= told.half_width
        self._covered += np.where(with_interval, inside, 0.0)
        self._width += np.where(with_interval, 2 * told.half_width, 0.0)

    @cached_property
    def truth(self) -> Reals:
        """Difference of the gains of every pair (B x P x K)."""
        return _rounded(self.table.gain[:, self.first] - self.table.gain[:, self.second], self.table)

    @property
    def coverage(self) -> Reals:
        """Share of the times that a cell was told in which its interval held its gain (B x D x K)."""
        return self._covered / np.where(self._told > 0, self._told, np.nan)

    @property
    def width(self) -> Reals:
        """Mean width of those intervals."""
        return self._width / np.where(self._told > 0, self._told, np.nan)

    def pairs_without(self, unit: str) -> NDArray[np.bool_]:
        """Pairs that a dataset has no part in (P)."""
        other_D = np.array([name != unit for name in self.table.units])
        return np.asarray(other_D[self.first] & other_D[self.second], dtype=np.bool_)


def _rounded(difference: Reals, table: GainTable) -> Reals:
    """Differences that rounding alone makes are none, so that ties are ties."""
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(difference) <= 1e-9 * np.nanmax(np.abs(table.gain), initial=1e-300), 0.0, difference)

"""Which predictor to go by: each judged on what was left out, and the choice itself judged in the same way.

A choice made by looking at the folds on which it is then judged would look better than it is. So for every fold the
choice is made again without it, by leaving out more of what remains (nested validation).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sftlab.predict.gain_table import GainTable, Mask
from sftlab.predict.left_out import Fits, Fold, HeldOut, Question, folds
from sftlab.predict.predictor import Predictor
from sftlab.predict.predictors import PREDICTORS
from sftlab.predict.skill import decision_accuracy, difference

CHOSEN = "chosen"
"""The predictor that would have been chosen, fold by fold."""
BY_DEFAULT = "mean_of_other_bases"
"""What to go by where too little is known to choose."""
MOST_INNER_FOLDS: Mapping[Question, int] = {"new_base": 48, "gap": 8, "new_dataset": 5}


@dataclass(frozen=True, eq=False)
class Judged:
    """How every predictor did on one question, the chosen ones among them, and which to go by on the whole table."""

    question: Question
    held: Mapping[str, HeldOut]
    choice: str
    folds: int


def judged(table: GainTable, question: Question) -> Judged | None:
    """Leave out, tell and compare; None where the table is too small for this question."""
    asked = folds(table, question)
    if not asked:
        return None
    fits = Fits(table)
    predictors = available(table)
    held = {name: HeldOut(table, question) for name in (*predictors, CHOSEN)}
    choices: dict[tuple[str, ...], str] = {}
    for fold in asked:
        if fold.units not in choices:
            choices[fold.units] = _chosen_without(fits, fold, question, predictors)
        for name, predictor in predictors.items():
            told = fits.of(predictor, fold.left_out)
            held[name].add(fold, told)
            if name == choices[fold.units]:
                held[CHOSEN].add(fold, told)
    return Judged(question, held, _best({name: held[name] for name in predictors}), len(asked))


def available(table: GainTable) -> dict[str, Predictor]:
    """Predictors that the table has what they go by for."""
    return {name: one for name, one in PREDICTORS.items() if one.available(table)}


def _chosen_without(fits: Fits, fold: Fold, question: Question, predictors: Mapping[str, Predictor]) -> str:
    """What would be chosen if a fold were not known: for a gap, if its whole family were not."""
    left_out = fold.left_out
    if question == "gap":
        of_family = np.array([family in fold.units for family in fits.table.families])
        left_out = np.broadcast_to(of_family[:, None], left_out.shape)
    rest = fits.table.without(left_out)
    inner = folds(rest, question, at_most=MOST_INNER_FOLDS[question])
    held = {name: HeldOut(rest, question) for name in predictors}
    for inside in inner:
        both: Mask = left_out | inside.left_out
        for name, predictor in predictors.items():
            held[name].add(inside, fits.of(predictor, both))
    return _best(held)


def _best(held: Mapping[str, HeldOut]) -> str:
    """The predictor with the highest decision accuracy, of equal ones the simplest; else that by default.

    It has to be ahead of that by more than one standard error (the rule of Breiman et al. 1984): the best of several by
    a hair is mostly the luckiest.
    """
    accuracy = {name: decision_accuracy(one) for name, one in held.items()}
    known = {name: round(value, 12) for name, value in accuracy.items() if value is not None}
    if not known:
        return BY_DEFAULT
    best = max(known, key=lambda name: known[name])
    ahead = difference(held[best], held[BY_DEFAULT])
    return best if ahead is not None and ahead.se is not None and ahead.value > ahead.se else BY_DEFAULT

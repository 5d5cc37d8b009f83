"""Many questions at once: adjusted p-values, so that chance alone rarely answers one of them."""

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) adjusted p-values: the chance of any false finding among them stays below the level."""
    count = len(p_values)
    order = np.argsort(p_values, kind="stable")
    adjusted, largest = [0.0] * count, 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, p_values[index] * (count - place)))
        adjusted[index] = largest
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Benjamini & Hochberg's (1995) adjusted p-values: the expected share of false findings stays below the level."""
    count = len(p_values)
    order = np.argsort(p_values, kind="stable")
    adjusted, smallest = [0.0] * count, 1.0
    for place in range(count - 1, -1, -1):
        index = order[place]
        smallest = min(smallest, p_values[index] * count / (place + 1))
        adjusted[index] = smallest
    return adjusted


def holm_within_families(families: Sequence[Sequence[float]]) -> list[list[float]]:
    """Adjusted p-values of several families of questions, such as the pairs of datasets of each benchmark.

    Holm within a family; families are selected by their smallest Holm-adjusted p-value with Benjamini & Hochberg's
    procedure, and the R selected of m are tested at 0.05 R / m (Benjamini & Bogomolov 2014), which keeps the error of
    an average selected family below the level. Read at 0.05; an empty family stays empty.
    """
    within = [holm(family) for family in families]
    asked = [index for index, family in enumerate(within) if family]
    between = benjamini_hochberg([min(within[index]) for index in asked])
    selected = sum(p <= 0.05 for p in between)
    factor = len(asked) / max(1, selected)
    result: list[list[float]] = [[] for _ in families]
    for index, family_p in zip(asked, between, strict=True):
        result[index] = [min(1.0, max(p * factor, family_p)) for p in within[index]]
    return result

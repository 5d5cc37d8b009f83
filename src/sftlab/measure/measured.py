"""What a measure of data returns."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from sftlab.analyse.intervals import Estimate

PROPERTIES = {
    "property": pl.String(),
    "value": pl.Float64(),
    "n": pl.Int64(),
    "se": pl.Float64(),
    "ci_low": pl.Float64(),
    "ci_high": pl.Float64(),
}


@dataclass(frozen=True)
class Measured:
    """`properties`: one row for each property, with its 95 % interval over `n` examples; `examples`: one row for each.

    The interval speaks of examples drawn like these. `index` is the example's row in its source.
    """

    properties: pl.DataFrame
    examples: pl.DataFrame


def property_frame(estimates: Mapping[str, Estimate | None]) -> pl.DataFrame:
    """Properties as a frame; one without any example has nulls and an n of 0."""
    rows = [
        (name, one.value, one.n, one.se, one.ci_low, one.ci_high) if one else (name, None, 0, None, None, None)
        for name, one in estimates.items()
    ]
    return pl.DataFrame(rows, schema=PROPERTIES, orient="row")


def exponential(estimate: Estimate) -> Estimate:
    """Exp of a quantity: interval ends transformed, standard error by the delta method."""
    value = math.exp(estimate.value)
    se, low, high = estimate.se, estimate.ci_low, estimate.ci_high
    if se is None or low is None or high is None:
        return Estimate(value, None, None, None, estimate.n)
    return Estimate(value, value * se, math.exp(low), math.exp(high), estimate.n)

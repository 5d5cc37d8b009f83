"""Response length alone."""

from sftlab.predict.gain_table import GainTable
from sftlab.predict.levels import levelled, slope_within
from sftlab.predict.predictor import Predicted, Predictor
from sftlab.predict.properties import length


def fit(table: GainTable) -> Predicted:
    """Gain by regression within bases on the logarithm of the mean response length, benchmark by benchmark."""
    value = length(table)
    assert value is not None
    return levelled(table, slope_within(table, value) * value)


LENGTH = Predictor("length", "response length", fit, lambda table: length(table) is not None)

"""Perplexity of the responses under the base alone."""

from sftlab.predict.gain_table import GainTable
from sftlab.predict.levels import levelled, slope_within
from sftlab.predict.predictor import Predicted, Predictor
from sftlab.predict.properties import perplexity


def fit(table: GainTable) -> Predicted:
    """Gain by regression within bases on the logarithm of response perplexity, benchmark by benchmark."""
    value = perplexity(table)
    assert value is not None
    return levelled(table, slope_within(table, value) * value)


PERPLEXITY = Predictor("perplexity", "perplexity", fit, lambda table: perplexity(table) is not None)

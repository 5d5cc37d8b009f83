"""Properties of the data as predictors take them: on a scale on which they may be linear, and without gaps."""

import numpy as np

from sftlab.predict.additive import mean_of_known
from sftlab.predict.gain_table import GainTable, Reals

LENGTHS = ("response_tokens", "response_bytes")
PERPLEXITIES = ("response_perplexity", "mean_response_perplexity", "response_bits_per_byte")
SIMILARITIES = ("embedding_similarity", "similarity")
OTHERS = ("ifd",)
LINEAR = {"response_bits_per_byte", "ifd", *SIMILARITIES}


def length(table: GainTable) -> Reals | None:
    """Logarithm of the mean response length, B x D x K; None where it was not measured."""
    return _first(table, LENGTHS)


def perplexity(table: GainTable) -> Reals | None:
    """Logarithm of the response perplexity under the base, B x D x K; None where it was not measured."""
    return _first(table, PERPLEXITIES)


def covariates(table: GainTable) -> list[Reals]:
    """One array (B x D x K) a kind of property that was measured: length, perplexity, similarity, IFD.

    Centred by base and in units of its standard deviation over cells, both on each benchmark; unknown values are 0.
    """
    found = [_first(table, names) for names in (LENGTHS, PERPLEXITIES, SIMILARITIES, OTHERS)]
    return [_standardised(values) for values in found if values is not None]


def _first(table: GainTable, names: tuple[str, ...]) -> Reals | None:
    measured = next((name for name in names if name in table.properties), None)
    if measured is None:
        return None
    values = table.properties[measured]
    scaled = values if measured in LINEAR else np.log(np.where(values > 0, values, np.nan))
    return np.where(np.isnan(scaled), mean_of_known(scaled), scaled)


def _standardised(values: Reals) -> Reals:
    centred = values - np.array([mean_of_known(rows) for rows in values])[:, None, :]
    known = ~np.isnan(centred)
    squares_K = np.nansum(centred**2, axis=(0, 1)) / np.maximum(known.sum(axis=(0, 1)), 1)
    return np.asarray(np.nan_to_num(centred) / np.where(squares_K > 0, np.sqrt(squares_K), 1.0))

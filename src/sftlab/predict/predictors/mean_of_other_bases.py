"""How the datasets did on the bases of other families: the reference that is hard to beat."""

import numpy as np

from sftlab.predict.additive import additive_fit
from sftlab.predict.gain_table import GainTable
from sftlab.predict.levels import family_means, levelled
from sftlab.predict.predictor import Predicted, Predictor, unknown


def fit(table: GainTable) -> Predicted:
    """Datasets as they did on bases of all other families, one vote a family.

    Where all of them were tried on the same datasets this is the plain mean; where cells are missing each family's
    level is taken out first, so that a dataset does not look good for having been tried on bases that gain.
    """
    by_family = family_means(table, table.gain)
    order = unknown(table)
    for place in range(table.num_families):
        others = np.arange(table.num_families) != place
        if others.any():
            order[table.family_places == place] = additive_fit(by_family[others]).effect
    return levelled(table, order)


MEAN_OF_OTHER_BASES = Predictor("mean_of_other_bases", "the mean of the other bases", fit)

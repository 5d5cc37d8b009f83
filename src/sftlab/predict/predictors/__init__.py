"""Predictors: one file each, found through `PREDICTORS`, the simplest first."""

from sftlab.predict.predictor import Predictor
from sftlab.predict.predictors.base_score import BASE_SCORE
from sftlab.predict.predictors.coin import COIN
from sftlab.predict.predictors.length import LENGTH
from sftlab.predict.predictors.mean_of_other_bases import MEAN_OF_OTHER_BASES
from sftlab.predict.predictors.mixed_model import MIXED_MODEL
from sftlab.predict.predictors.nearest_base import NEAREST_BASE
from sftlab.predict.predictors.perplexity import PERPLEXITY

PREDICTORS: dict[str, Predictor] = {
    one.name: one for one in (COIN, LENGTH, BASE_SCORE, PERPLEXITY, MEAN_OF_OTHER_BASES, NEAREST_BASE, MIXED_MODEL)
}

__all__ = ["PREDICTORS"]

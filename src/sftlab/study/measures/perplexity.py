"""How surprising the responses of a dataset are to a base."""

from sftlab.study.measures.declaration import Measure

PERPLEXITY = Measure(
    name="perplexity", version=1, of="data", properties=("response_perplexity", "response_bits_per_byte")
)

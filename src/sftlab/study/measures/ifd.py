"""How much prompts help a base to predict their responses."""

from sftlab.study.measures.declaration import Measure

IFD = Measure(
    name="ifd",
    version=1,
    of="data",
    properties=("ifd", "unconditional_response_perplexity"),
    default=False,
)

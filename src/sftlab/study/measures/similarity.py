"""How near the prompts of a dataset come to those of a benchmark, by their words or by embeddings."""

from sftlab.study.measures.declaration import Measure

SIMILARITY = Measure(name="similarity", version=1, of="similarity", properties=("similarity",))
EMBEDDING_SIMILARITY = Measure(
    name="embedding_similarity",
    version=1,
    of="similarity",
    properties=("embedding_similarity",),
    default=False,
    embeds=True,
)

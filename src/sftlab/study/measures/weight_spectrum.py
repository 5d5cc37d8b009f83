"""Of how high a rank the change of each weight matrix is."""

from sftlab.study.measures.declaration import Measure

WEIGHT_SPECTRUM = Measure(
    name="weight_spectrum",
    version=1,
    of="weights",
    properties=("stable_rank", "energy_1", "energy_4", "energy_16"),
    default=False,
)

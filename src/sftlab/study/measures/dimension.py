"""How many dimensions the hidden states of fixed prompts vary in, layer by layer."""

from sftlab.study.measures.declaration import Measure

DIMENSION = Measure(name="dimension", version=1, of="probe", properties=("dimension",), default=False)

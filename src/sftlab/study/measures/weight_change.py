"""How far fine-tuning moved the weights, layer by layer."""

from sftlab.study.measures.declaration import Measure

WEIGHT_CHANGE = Measure(name="weight_change", version=1, of="checkpoint", properties=("relative_change",))

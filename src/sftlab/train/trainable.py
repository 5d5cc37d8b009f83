"""Which parameters a method trains, and how their change is told apart from the base."""

from dataclasses import dataclass

from torch import nn

from sftlab.errors import TrainingError
from sftlab.lm.adapters import LoraAdapter, inject_lora
from sftlab.lm.base import LoadedBase
from sftlab.lm.parameters import depth_of, layer_of, num_layers
from sftlab.study.methods import Full, LowRank
from sftlab.study.run import RunSpec


@dataclass(frozen=True)
class Trainable:
    """The parameters to train by name, and the adapter they belong to, if any."""

    parameters: dict[str, nn.Parameter]
    adapter: LoraAdapter | None


def make_trainable(base: LoadedBase, spec: RunSpec) -> Trainable:
    """Give gradients to what the method trains, on a base that was just reset.

    Raises TrainingError where a band of layers holds no layer, ModelError where no module is a LoRA target, and
    TrainingError where rows of a matrix that several ranks share would be trained apart from it.
    """
    if base.ranks.count > 1 and base.special_ids and isinstance(spec.method, LowRank):
        raise TrainingError(
            f"embeddings of special tokens are trained beside an adapter on one device, got {base.ranks.count}: train "
            "all weights, or leave `special_tokens` out"
        )
    if isinstance(spec.method, LowRank):
        base.adapter = inject_lora(
            base.model, spec.method, seed=spec.seeds.init, base_model=base.ref.model, token_ids=base.special_ids
        )
        return Trainable(dict(base.adapter.parameters()), base.adapter)
    weights = base.weights()
    assert isinstance(spec.method, Full)
    if spec.method.layers is not None:
        weights = _in_band(weights, spec.method.layers)
    for weight in weights.values():
        weight.requires_grad_(True)
    return Trainable(weights, None)


def _in_band(weights: dict[str, nn.Parameter], band: tuple[float, float]) -> dict[str, nn.Parameter]:
    layers = num_layers(weights)
    low, high = band
    inside = {
        name: weight
        for name, weight in weights.items()
        if (layer := layer_of(name)) is not None and low <= depth_of(layer, layers) <= high
    }
    if not inside:
        raise TrainingError(f"no layer has a depth in [{low}, {high}]: the model has {layers} layers")
    return inside

"""The last layer, computed only where its output is read.

Every position's keys and values are needed there, for later ones attend to them; attention's output projection, the
feed-forward part and the last norm are needed only where something is predicted.

Legend: B = rows, S = their positions, L = positions whose output is read, D = width.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from sftlab.lm.base import LoadedBase
from sftlab.lm.token_loss import has_plain_head

_NORMS = ("input_layernorm", "ln_1")
_ATTENTIONS = ("self_attn", "attn", "attention")
_OUTPUTS = ("o_proj", "c_proj", "dense", "out_proj")
_LAYERS = ("layers", "h")


@dataclass(frozen=True, eq=False)
class LastLayer:
    """The last layer, its norm before attention, its attention, and what follows the heads there."""

    layer: nn.Module
    norm: nn.Module
    attention: nn.Module
    output: nn.Module


class LastStates:
    """What a base says at some places of a pass; made before attention is told anything of a pass."""

    def __init__(self, base: LoadedBase) -> None:
        self._base = base
        self._last = last_layer(base.model) if narrows(base) else None
        self.plain_head = has_plain_head(base)

    def at(self, inputs: Mapping[str, Any], places: Tensor) -> Tensor:
        """L x D: what `head` is applied to at these places, ascending among the B S written one after another."""
        model = self._base.model
        with _narrowed(self._last, places, inputs.get("tree")):
            whole: Tensor = model.base_model(**inputs).last_hidden_state if self.plain_head else model(**inputs).logits
        return whole.flatten(0, 1)[places] if self._last is None else whole[0]

    def head(self, states: Tensor) -> Tensor:
        """Logits of what `at` gave."""
        if not self.plain_head:
            return states
        logits: Tensor = self._base.model.get_output_embeddings()(states)
        return logits


_NARROWS: "WeakKeyDictionary[LoadedBase, bool]" = WeakKeyDictionary()


def narrows(base: LoadedBase) -> bool:
    """Whether the last layer can be computed at some places only; found by trying, once for each base."""
    if base not in _NARROWS:
        with torch.inference_mode():
            _NARROWS[base] = _agrees(base)
    return _NARROWS[base]


def narrowed(base: LoadedBase, places: Tensor) -> AbstractContextManager[None]:
    """Passes inside give 1 x L x D, the last hidden states at these places, where that can be; else all of them."""
    return _narrowed(last_layer(base.model) if narrows(base) else None, places)


@contextmanager
def _narrowed(
    last: LastLayer | None,
    places: Tensor,
    tree: Any = None,  # noqa: ANN401 - a TreeLayout
) -> Iterator[None]:
    """The last layer gives 1 x L x D in place of B x S x D."""
    if last is None:
        yield
        return
    whole: list[Tensor] = []

    def begin(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        whole[:] = [args[0]]
        return (_at(args[0], places), *args[1:])

    def before_attention(_: nn.Module, __: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (whole[0],)

    def after_heads(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (_at(args[0], places),)

    hooks = ((last.layer, begin), (last.norm, before_attention), (last.output, after_heads))
    handles = [module.register_forward_pre_hook(hook) for module, hook in hooks]
    if tree is not None:
        tree.narrow(last.attention, places)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _at(states: Tensor, places: Tensor) -> Tensor:
    return states.flatten(0, 1)[places][None]


def last_layer(model: nn.Module) -> LastLayer | None:
    """The last layer's parts, where they have names that are known."""
    layers = _first(model.base_model, _LAYERS)
    if not isinstance(layers, nn.ModuleList) or len(layers) == 0:
        return None
    layer = layers[-1]
    attention = _first(layer, _ATTENTIONS)
    norm, output = _first(layer, _NORMS), None if attention is None else _first(attention, _OUTPUTS)
    if norm is None or attention is None or output is None:
        return None
    return LastLayer(layer, norm, attention, output)


def _first(module: Any, names: tuple[str, ...]) -> nn.Module | None:  # noqa: ANN401 - any module
    found = (getattr(module, name, None) for name in names)
    return next((one for one in found if isinstance(one, nn.Module)), None)


_TRIAL_ERRORS = (AssertionError, AttributeError, TypeError, ValueError, RuntimeError, IndexError)


def _agrees(base: LoadedBase) -> bool:
    """Whether two rows narrowed to some of their places give what they give there in full."""
    last = last_layer(base.model)
    if last is None:
        return False
    ids = torch.arange(14, device=base.device).view(2, 7) % int(base.model.get_input_embeddings().weight.shape[0])
    places = torch.tensor([1, 4, 6, 7, 12], device=base.device)
    try:
        with base.computing():
            full = base.model.base_model(input_ids=ids, use_cache=False).last_hidden_state.flatten(0, 1)[places]
            with _narrowed(last, places):
                few = base.model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    except _TRIAL_ERRORS:
        return False
    if few.shape != (1, *full.shape):
        return False
    tolerance = 1e-5 if full.dtype == torch.float32 and base.precision.compute == "float32" else 0.02
    return float((few[0] - full).abs().max()) <= tolerance * float(full.abs().max())

"""How far fine-tuning moved the weights: relative change by layer and part (version 1 of the measure `weight_change`).

The relative change of a group of tensors is ||tuned - base||_F / ||base||_F over all of them together (Harada et al.
2025, section 4.3), with norms summed in float64. Where the base's norm is zero it is null.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import polars as pl

from sftlab.errors import ModelError
from sftlab.lm.parameters import depth_of, layer_of, num_layers, part_of

if TYPE_CHECKING:
    from torch import Tensor

    from sftlab.lm.adapters import LoraAdapter
    from sftlab.lm.base import LoadedBase

SCHEMA: dict[str, type[pl.DataType]] = {
    "layer": pl.Int64,
    "depth": pl.Float64,
    "part": pl.String,
    "relative_change": pl.Float64,
    "change_norm": pl.Float64,
    "base_norm": pl.Float64,
}
_LAYER_PARTS = ("all", "attention", "mlp", "norm")
_OUTER_PARTS = ("embedding", "norm", "head")


@dataclass(frozen=True)
class SquaredNorms:
    """Squared Frobenius norms of one tensor: of its change, and of the base's."""

    change: float
    base: float


def weight_change(base: Mapping[str, "Tensor"], tuned: Mapping[str, "Tensor"]) -> pl.DataFrame:
    """Change of whole weights, given by name; tied weights appear once in both.

    One row for each layer (`layer`, `depth` from 0 to 1) and part `all`, attention, mlp and norm; then, with a null
    layer, embedding, norm (what is outside layers) and head; last the whole model (`all`). Raises ModelError where the
    two are not of one architecture.
    """
    return change_table({name: SquaredNorms(_change(base, tuned, name), _squared_norm(base[name])) for name in base})


def adapter_weight_change(base: Mapping[str, "Tensor"], adapter: "LoraAdapter") -> pl.DataFrame:
    """As `weight_change`, of an adapter's scale B A, which is never made, and of its trained embeddings."""
    return _table_of_changes(
        _attached_changes(base, adapter), {name: _squared_norm(weight) for name, weight in base.items()}
    )


def _attached_changes(base: Mapping[str, "Tensor"], adapter: "LoraAdapter") -> dict[str, float]:
    changes = {
        f"{name}.weight": low_rank_squared_norm(layer.a, layer.b, layer.scale) for name, layer in adapter.layers.items()
    }
    if adapter.token_rows is not None:
        for name in adapter.token_rows.rows:
            changes[f"{name}.weight"] = adapter.token_rows.squared_change(name, base[f"{name}.weight"])
    return changes


_OF_BASE: "WeakKeyDictionary[LoadedBase, dict[str, float]]" = WeakKeyDictionary()


def loaded_weight_change(loaded: "LoadedBase") -> pl.DataFrame:
    """Change of what a base holds now, its adapter's if it has one, against its untouched copy.

    Of a quantised base relative to the weights it had before; what quantisation changed is not counted.
    """
    if loaded not in _OF_BASE:
        parts = loaded.unquantised_norms or {name: _squared_norm(weight) for name, weight in loaded.pristine.items()}
        _OF_BASE[loaded] = loaded.ranks.totals(parts)
    norms = _OF_BASE[loaded]
    if loaded.adapter is not None:
        return _table_of_changes(_attached_changes(loaded.pristine, loaded.adapter), norms)
    held = {**loaded.weights(), **loaded.masters}
    weights = {name: loaded.ranks.own(weight) for name, weight in held.items()}
    changes = {name: _change(loaded.pristine, weights, name) for name in norms}
    return _table_of_changes(loaded.ranks.totals(changes), norms)


def _squared_norm(weight: "Tensor") -> float:
    import torch

    return float(torch.linalg.vector_norm(weight.detach(), dtype=torch.float64).item() ** 2)


def _change(base: Mapping[str, "Tensor"], tuned: Mapping[str, "Tensor"], name: str) -> float:
    if name not in tuned or tuned[name].shape != base[name].shape:
        got = "missing" if name not in tuned else f"of shape {tuple(tuned[name].shape)}"
        raise ModelError(f"the two models are not of one architecture: {name} is {got} in the tuned one")
    weight = tuned[name].detach().float()
    return _squared_norm(weight - base[name].detach().to(weight.device).float())


def low_rank_squared_norm(a: "Tensor", b: "Tensor", scale: float) -> float:
    """||scale B A||_F^2 as scale^2 <B^T B, A A^T>, which takes rank x rank numbers."""
    a, b = a.detach().double(), b.detach().double()
    return float(scale**2 * ((b.T @ b) * (a @ a.T)).sum().clamp(min=0.0))


def _table_of_changes(changes: Mapping[str, float], norms: Mapping[str, float]) -> pl.DataFrame:
    return change_table({name: SquaredNorms(changes.get(name, 0.0), norm) for name, norm in norms.items()})


def change_table(tensors: Mapping[str, SquaredNorms]) -> pl.DataFrame:
    """Changes of single tensors summed up by layer and part; parts that a model does not have get no row."""
    rows = [row for row in _rows(tensors) if row is not None]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


_Row = tuple[int | None, float | None, str, float | None, float, float]


def _rows(tensors: Mapping[str, SquaredNorms]) -> Iterator[_Row | None]:
    layers = num_layers(tensors)
    for layer in range(layers):
        inside = [name for name in tensors if layer_of(name) == layer]
        for part in _LAYER_PARTS:
            group = [tensors[name] for name in inside if part in ("all", part_of(name))]
            yield _row((layer, depth_of(layer, layers), part), group)
    outside = [name for name in tensors if layer_of(name) is None]
    for part in _OUTER_PARTS:
        yield _row((None, None, part), [tensors[name] for name in outside if part_of(name) == part])
    yield _row((None, None, "all"), list(tensors.values()))


def _row(key: tuple[int | None, float | None, str], group: list[SquaredNorms]) -> _Row | None:
    if not group:
        return None
    change = math.sqrt(math.fsum(tensor.change for tensor in group))
    base = math.sqrt(math.fsum(tensor.base for tensor in group))
    return (*key, change / base if base > 0 else None, change, base)

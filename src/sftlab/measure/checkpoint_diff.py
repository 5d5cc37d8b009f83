"""What differs between two checkpoints on disk, one tensor at a time.

Norms are summed in float64 over rows of 4,096 float32 squares, so that neither a copy in double precision nor a loss of
digits is needed; at most one tensor of each side and a few megabytes are in memory.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from sftlab.errors import ModelError
from sftlab.lm.parameters import depth_of, layer_of, num_layers, part_of
from sftlab.lm.weights import ADAPTER_CONFIG, TOKEN_ROWS, is_adapter, open_weights
from sftlab.measure.named_weights import NamedWeights, checkpoint_weights, plain_name
from sftlab.measure.weight_change import SquaredNorms, change_table, low_rank_squared_norm

if TYPE_CHECKING:
    from torch import Tensor

TENSORS: dict[str, type[pl.DataType]] = {
    "tensor": pl.String,
    "layer": pl.Int64,
    "depth": pl.Float64,
    "part": pl.String,
    "status": pl.String,
    "shape": pl.String,
    "dtype": pl.String,
    "relative_change": pl.Float64,
    "change_norm": pl.Float64,
    "base_norm": pl.Float64,
    "largest_change": pl.Float64,
    "note": pl.String,
}
NOT_FINITE = "not finite"
"""Status of a tensor of which either side holds NaN or infinite weights: it has no distance."""
_ROW = 4096
_CHUNK = _ROW * 64
"""Numbers at a time: two such buffers of float32 stay in a core's cache."""


@dataclass(frozen=True, eq=False)
class CheckpointDiff:
    """Changes by tensor, and by layer and part.

    `tensors`: one row a tensor of either side; `status` is changed, equal, resized (the common rows are compared),
    reshaped or not finite (not compared), base only or tuned only; `note` says what it is called in the tuned one where
    that differs, or that it is tied. `layers` has the columns of the table `layers`; its changes are of what was
    compared, which is `compared_share` of the base's numbers. `notes` are sentences on what was not compared.
    """

    tensors: pl.DataFrame
    layers: pl.DataFrame
    compared_share: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Compared:
    """One tensor: squared norms of change and base, the largest change of a single weight, and what to say of it.

    `of_base`: how many numbers the base has there; `compared`: how many of them stand in the norms.
    """

    status: str
    norms: SquaredNorms | None
    largest: float | None
    shape: str
    dtype: str
    note: str | None = None
    of_base: int = 0
    compared: int = 0


def diff_checkpoints(base: Path, tuned: Path, *, on_tensor: Callable[[int], None] = lambda _: None) -> CheckpointDiff:
    """Compare two checkpoints, each a transformers folder (one file or shards) or a safetensors file.

    `tuned` may be a PEFT adapter. Names are matched without what wrappers put before them. Of tied embeddings that a
    side holds twice, the head is left out. `on_tensor` is told the bytes of every tensor read. Raises ModelError where
    a side cannot be read or the two have no tensor in common.
    """
    if not tuned.exists():
        raise ModelError(f"there is no checkpoint {tuned}")
    if is_adapter(base):
        raise ModelError(f"{base} is an adapter: give the base's whole weights first, then the adapter")
    held = checkpoint_weights(base)
    if is_adapter(tuned):
        found = dict(_adapter(held, tuned, on_tensor))
    else:
        other = checkpoint_weights(tuned)
        if not held.raw.keys() & other.raw.keys():
            raise ModelError(f"{base} and {tuned} have no tensor in common: they are not of one architecture")
        found = dict(_compared(held, other, on_tensor))
    return _assembled(found)


def other_base_of(adapter: Path, base: Path) -> str | None:
    """The base that an adapter's config names, where that is not called as this one is; a renamed base is legal."""
    if not is_adapter(adapter):
        return None
    named = json.loads((adapter / ADAPTER_CONFIG).read_text()).get("base_model_name_or_path")
    if not isinstance(named, str) or not named.strip("/"):
        return None
    last = named.rstrip("/").rpartition("/")[2]
    cached = {part.rpartition("--")[2] for part in base.resolve().parts if part.startswith("models--")}
    return None if last in {base.name, base.resolve().name, *cached} else named


def checkpoint_bytes(path: Path) -> int:
    """Bytes of the safetensors files of a checkpoint."""
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
    return sum(file.stat().st_size for file in files)


def _compared(
    base: NamedWeights, tuned: NamedWeights, on_tensor: Callable[[int], None]
) -> Iterator[tuple[str, _Compared]]:
    """In the base's order, then what only the tuned one has."""
    for name in base.raw:
        mine = base[name]
        on_tensor(mine.nbytes)
        if name in tuned.raw:
            theirs = tuned[name]
            on_tensor(theirs.nbytes)
            if part_of(name) == "head" and _is_tied(base, mine) and _is_tied(tuned, theirs):
                continue
            renamed = base.raw[name] != tuned.raw[name]
            note = f"called {tuned.raw[name]} in the tuned one" if renamed else None
            yield base.raw[name], replace(_change(mine, theirs, note), of_base=mine.numel())
        elif part_of(name) != "head" or not _is_tied(base, mine):
            yield base.raw[name], replace(_alone(mine, "base only"), of_base=mine.numel())
    for name in tuned.raw:
        if name not in base.raw:
            theirs = tuned[name]
            on_tensor(theirs.nbytes)
            if part_of(name) != "head" or not _is_tied(tuned, theirs):
                yield tuned.raw[name], _alone(theirs, "tuned only")


def _is_tied(side: NamedWeights, head: "Tensor") -> bool:
    """Whether a head holds the same numbers as its side's embedding, so that it is one tensor saved twice."""
    import torch

    embeddings = [name for name in side.raw if part_of(name) == "embedding"]
    return any(torch.equal(side[name], head) for name in embeddings if side[name].shape == head.shape)


def _alone(tensor: "Tensor", status: str) -> _Compared:
    return _Compared(status, None, None, _shape(tensor), _dtype(tensor))


def _change(base: "Tensor", tuned: "Tensor", note: str | None) -> _Compared:
    dtype = _dtype(base) if base.dtype == tuned.dtype else f"{_dtype(base)} to {_dtype(tuned)}"
    if base.shape == tuned.shape:
        norms, largest = _norms(base, tuned)
        if not math.isfinite(norms.change + norms.base):
            return _Compared(NOT_FINITE, None, None, _shape(base), dtype, note)
        status = "changed" if norms.change > 0 else "equal"
        return _Compared(status, norms, largest, _shape(base), dtype, note, compared=base.numel())
    if base.ndim == tuned.ndim and base.shape[1:] == tuned.shape[1:]:
        rows = min(len(base), len(tuned))
        norms, largest = _norms(base[:rows], tuned[:rows])
        if not math.isfinite(norms.change + norms.base):
            return _Compared(NOT_FINITE, None, None, _shape(base), dtype, note)
        said = f"{len(base):,} rows became {len(tuned):,}; the first {rows:,} are compared"
        compared, note = base[:rows].numel(), "; ".join(filter(None, (note, said)))
        return _Compared("resized", norms, largest, _shape(base), dtype, note, compared=compared)
    said = f"{_shape(base)} became {_shape(tuned)}"
    return _Compared("reshaped", None, None, _shape(base), dtype, "; ".join(filter(None, (note, said))))


def _norms(base: "Tensor", tuned: "Tensor") -> tuple[SquaredNorms, float]:
    """Squared norms of change and base, and the largest absolute change."""
    import torch

    flat, other = base.reshape(-1), tuned.reshape(-1)
    size = min(_CHUNK, len(flat))
    mine_buffer, change_buffer = torch.empty(size), torch.empty(size)
    change, norm, largest = 0.0, 0.0, 0.0
    for start in range(0, len(flat), _CHUNK):
        length = min(_CHUNK, len(flat) - start)
        mine = mine_buffer[:length].copy_(flat[start : start + length])
        difference = change_buffer[:length].copy_(other[start : start + length]).sub_(mine)
        norm += _squares(mine)
        change += _squares(difference)
        low, high = torch.aminmax(difference)
        largest = max(largest, float(high), -float(low))
    return SquaredNorms(change=change, base=norm), largest


def _squares(value: "Tensor") -> float:
    """Sum of squares of float32 values, in float64 between rows."""
    import torch

    whole = len(value) // _ROW * _ROW
    rows = value[:whole].view(-1, _ROW)
    total = torch.linalg.vecdot(rows, rows).sum(dtype=torch.float64)
    rest = value[whole:].double()
    return float(total + rest @ rest)


def _adapter(base: NamedWeights, folder: Path, on_tensor: Callable[[int], None]) -> Iterator[tuple[str, _Compared]]:
    """Every weight of the base, with the change that a PEFT adapter's scale B A makes, which is never made."""
    config = json.loads((folder / ADAPTER_CONFIG).read_text())
    tensors = open_weights(folder)
    factors = {plain_name(key.removesuffix(".lora_A.weight")) + ".weight": key for key in tensors if ".lora_A." in key}
    unknown = sorted(factors.keys() - base.raw.keys()) or [key for key in tensors if key.endswith(TOKEN_ROWS)]
    if unknown:
        raise ModelError(f"the adapter in {folder} changes {unknown[0]}, which the base's files do not have")
    for name, raw in base.raw.items():
        mine = base[name]
        on_tensor(mine.nbytes)
        norm = _norms(mine, mine)[0].base
        size, shape, dtype = mine.numel(), _shape(mine), _dtype(mine)
        if name not in factors:
            yield raw, _Compared("equal", SquaredNorms(0.0, norm), 0.0, shape, dtype, None, size, size)
            continue
        a, b = tensors[factors[name]], tensors[factors[name].replace(".lora_A.", ".lora_B.")]
        root = math.sqrt(a.shape[0]) if config.get("use_rslora") else a.shape[0]
        change = low_rank_squared_norm(a, b, float(config["lora_alpha"]) / root)
        status, note = "changed" if change > 0 else "equal", f"adapter of rank {a.shape[0]}"
        yield raw, _Compared(status, SquaredNorms(change, norm), None, shape, dtype, note, size, size)


def _shape(tensor: "Tensor") -> str:
    return " x ".join(map(str, tensor.shape))


def _dtype(tensor: "Tensor") -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _assembled(found: Mapping[str, _Compared]) -> CheckpointDiff:
    layers = num_layers(found)
    rows = [_row(name, one, layers) for name, one in found.items()]
    norms = {name: one.norms for name, one in found.items() if one.norms is not None}
    statuses = Counter(one.status for one in found.values())
    said = {
        "resized": "resized, compared on the rows in common",
        "reshaped": "of another shape and not compared",
        NOT_FINITE: "with weights that are NaN or infinite and not compared",
        "base only": "in the base only",
        "tuned only": "in the tuned one only",
    }
    notes = []
    for status, text in said.items():
        names = [name for name, one in found.items() if one.status == status]
        if names:
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            notes.append(f"{statuses[status]} tensor{'s' * (len(names) != 1)} {text}: {shown}")
    share = sum(one.compared for one in found.values()) / max(1, sum(one.of_base for one in found.values()))
    return CheckpointDiff(pl.DataFrame(rows, schema=TENSORS, orient="row"), change_table(norms), share, tuple(notes))


def _row(name: str, one: _Compared, layers: int) -> tuple[object, ...]:
    layer = layer_of(name)
    depth = None if layer is None else depth_of(layer, layers)
    change = base = relative = None
    if one.norms is not None:
        change, base = math.sqrt(one.norms.change), math.sqrt(one.norms.base)
        relative = change / base if base > 0 else None
    where = (name, layer, depth, part_of(name), one.status, one.shape, one.dtype)
    return (*where, relative, change, base, one.largest, one.note)

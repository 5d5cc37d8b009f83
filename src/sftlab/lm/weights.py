"""Weights in a checkpoint folder, read as safetensors one tensor at a time."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftlab.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
TOKEN_ROWS = ".token_adapter.trainable_tokens_delta"
"""What PEFT adds to a module's name for rows that it trains; in spite of it they are the rows themselves."""


class FolderWeights(Mapping[str, "Tensor"]):
    """The tensors of a folder's safetensors files by name, each read when asked for."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._file_of = dict(files)
        self._open: dict[Path, Any] = {}

    def __getitem__(self, name: str) -> "Tensor":
        from safetensors import safe_open

        path = self._file_of[name]
        if path not in self._open:
            self._open[path] = safe_open(path, framework="pt", device="cpu")
        tensor: Tensor = self._open[path].get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._file_of)

    def __len__(self) -> int:
        return len(self._file_of)


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds a PEFT adapter rather than whole weights."""
    return (folder / ADAPTER_CONFIG).is_file()


def open_weights(folder: Path) -> FolderWeights:
    """The tensors of a transformers or adapter folder.

    Raises ModelError where there is no safetensors file, or one that cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    if (folder / INDEX).is_file():
        shards = json.loads((folder / INDEX).read_text())["weight_map"]
        absent = sorted({shard for shard in shards.values() if not (folder / shard).is_file()})
        if absent:
            count = len(set(shards.values()))
            raise ModelError(
                f"{folder / INDEX} names {count} file{'s' * (count != 1)} of weights, and {len(absent)} of them "
                f"{'is' if len(absent) == 1 else 'are'} not there: {', '.join(absent[:3])}{' ...' * (len(absent) > 3)}"
            )
        return FolderWeights({name: folder / shard for name, shard in shards.items()})
    path = folder / (ADAPTER if is_adapter(folder) else SINGLE)
    require_safetensors(folder)
    if not path.is_file():
        raise ModelError(f"a checkpoint folder holds {path.name} or {INDEX}, and {folder} has neither")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return FolderWeights(dict.fromkeys(file.keys(), path))
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read as safetensors: {error}") from error


def require_safetensors(folder: Path) -> None:
    """Raise ModelError where a folder has weights, if any, in formats that can run code only."""
    if any(folder.glob("*.safetensors")):
        return
    others = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
    got = f"only {others[0]}, which can run code" if others else "no weights"
    raise ModelError(f"weights are read as safetensors alone, and {folder} holds {got}")

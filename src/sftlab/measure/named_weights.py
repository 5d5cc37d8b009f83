"""The tensors of a checkpoint under plain names, so that differently wrapped models can be compared."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sftlab.errors import ModelError
from sftlab.lm.weights import FolderWeights, open_weights

if TYPE_CHECKING:
    from torch import Tensor

_WRAPPERS = re.compile(r"^(?:_orig_mod|module|base_model|model|transformer|gpt_neox|language_model)\.")
"""What frameworks put before names: compiled, wrapped, adapted or headless models call the same tensor otherwise."""
_BUFFER = re.compile(r"\.(?:masked_bias|attn\.bias|inv_freq)$")
"""Constants that old checkpoints keep among their weights."""


class NamedWeights:
    """The tensors of one checkpoint, each read when asked for; `raw` gives each plain name's own one."""

    def __init__(self, weights: FolderWeights, raw: Mapping[str, str]) -> None:
        self._weights = weights
        self.raw = raw

    def __getitem__(self, name: str) -> "Tensor":
        return self._weights[self.raw[name]]

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor."""
        return tuple(self[name].shape)


def checkpoint_weights(path: Path) -> NamedWeights:
    """The tensors of a transformers folder (one file or shards) or of a safetensors file, without constants.

    Raises ModelError where it cannot be read.
    """
    if not path.exists():
        raise ModelError(f"there is no checkpoint {path}")
    weights = _opened(path)
    names = [name for name in weights if not _BUFFER.search(name)]
    counts = Counter(map(plain_name, names))
    return NamedWeights(weights, {plain_name(name) if counts[plain_name(name)] == 1 else name: name for name in names})


def plain_name(name: str) -> str:
    """A tensor's name without what wrappers put before it."""
    while _WRAPPERS.match(name):
        name = _WRAPPERS.sub("", name)
    return name


def _opened(path: Path) -> FolderWeights:
    if path.is_dir():
        return open_weights(path)
    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors":
        raise ModelError(f"a checkpoint is a folder or a safetensors file, and {path} is neither")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return FolderWeights(dict.fromkeys(file.keys(), path))
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read as safetensors: {error}") from error

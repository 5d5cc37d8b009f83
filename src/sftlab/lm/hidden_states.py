"""Hidden states at the end of prompts, layer by layer.

Legend: N = prompts, B = rows of a forward pass, S = their tokens, D = width.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sftlab.errors import ModelError
from sftlab.lm.base import LoadedBase
from sftlab.lm.memory import run_within_memory


@dataclass(frozen=True, eq=False)
class _Rows:
    """Places of prompts that pass together, padded on the right to the longest."""

    places: tuple[int, ...]
    longest: int

    @property
    def num_tokens(self) -> int:
        return len(self.places) * self.longest

    def halves(self) -> tuple[Self, ...]:
        middle = len(self.places) // 2
        parts = (self.places[:middle], self.places[middle:]) if middle else ()
        return tuple(type(self)(part, self.longest) for part in parts)


def last_token_states(
    base: LoadedBase, prompts: Sequence[Sequence[int]], *, max_batch_tokens: int
) -> list[NDArray[np.float32]]:
    """N x D for each layer: its output (before any last norm) at the last token of each prompt.

    Of a pass no more than one layer's B x S x D exists at a time; what is kept of it are B x D numbers on the host.
    Batches that do not fit into memory are halved. Raises ModelError where the layers cannot be told or one prompt
    alone does not fit.
    """
    layers = decoder_layers(base.model)
    states: list[NDArray[np.float32]] = [np.zeros((0, 0), dtype=np.float32)] * len(layers)

    def run(rows: _Rows) -> None:
        found = _states(base, layers, [prompts[place] for place in rows.places])
        for layer, state_BD in enumerate(found):
            if states[layer].shape[0] == 0:
                states[layer] = np.zeros((len(prompts), state_BD.shape[1]), dtype=np.float32)
            states[layer][list(rows.places)] = state_BD

    with torch.inference_mode():
        run_within_memory(_batches([len(prompt) for prompt in prompts], max_batch_tokens), run)
    return states


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """The layers of a language model, first to last. Raises ModelError where no list of modules has their number."""
    held: Any = model
    count = held.config.get_text_config().num_hidden_layers
    for module in held.base_model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise ModelError(f"the layers of a {type(model).__name__} cannot be found: no list of {count} modules in it")


def _batches(lengths: Sequence[int], max_tokens: int) -> Iterator[_Rows]:
    """Longest first, so that memory that does not suffice is found out at once."""
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    start = 0
    while start < len(order):
        longest = max(1, lengths[order[start]])
        size = max(1, max_tokens // longest)
        yield _Rows(tuple(order[start : start + size]), longest)
        start += size


def _states(base: LoadedBase, layers: nn.ModuleList, prompts: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
    longest = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), longest), base.pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = torch.as_tensor(prompt, dtype=torch.long)
        mask[row, : len(prompt)] = 1
    last = mask.sum(1) - 1
    with _kept(layers, last.to(base.device)) as found, base.computing():
        base.model.base_model(input_ids=ids.to(base.device), attention_mask=mask.to(base.device), use_cache=False)
    return [found[layer] for layer in range(len(layers))]


@contextmanager
def _kept(layers: nn.ModuleList, last_B: Tensor) -> Iterator[dict[int, NDArray[np.float32]]]:
    """What each layer gives at these places, taken as it comes by."""
    found: dict[int, NDArray[np.float32]] = {}

    def take(layer: int, output: Any) -> None:  # noqa: ANN401 - a tensor or a tuple that begins with one
        states_BSD: Tensor = output if isinstance(output, Tensor) else output[0]
        rows = torch.arange(len(last_B), device=states_BSD.device)
        found[layer] = states_BSD[rows, last_B.to(states_BSD.device)].float().cpu().numpy()

    handles = [
        module.register_forward_hook(lambda _, __, output, layer=layer: take(layer, output))
        for layer, module in enumerate(layers)
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()

"""Low-rank adaptation (Hu et al. 2021, arXiv 2106.09685), in the file format of PEFT.

Legend: A is rank x inputs, B is outputs x rank; a module computes W x + scale B A x with scale = alpha / rank,
or alpha / sqrt(rank) where it is rank-stabilised (Kalajdzievski 2023, arXiv 2312.03732).
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sftlab.errors import ModelError
from sftlab.lm.four_bit_linear import FourBitLinear
from sftlab.lm.token_rows import TokenRows, start_token_rows
from sftlab.lm.weights import ADAPTER, ADAPTER_CONFIG, TOKEN_ROWS, open_weights
from sftlab.study.methods import LowRank
from sftlab.study.methods.low_rank import is_target

PREFIX = "base_model.model."


class LoraLayer(nn.Module):
    """The low-rank path beside one linear module.

    A and B are float32 whatever the module's weights are, and are used in the type of the module's input. `transposed`
    says that the module keeps its weight as inputs x outputs (GPT-2's Conv1D).
    """

    def __init__(self, a: Tensor, b: Tensor, *, scale: float, dropout: float, transposed: bool) -> None:
        super().__init__()
        self.a = nn.Parameter(a)
        self.b = nn.Parameter(b)
        self.scale = scale
        self.dropout = dropout
        self.transposed = transposed

    def beside(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """The module's output plus the low-rank one: a forward hook."""
        x = functional.dropout(inputs[0], self.dropout, module.training)
        low = functional.linear(functional.linear(x, self.a.to(x.dtype)), self.b.to(x.dtype))
        return torch.add(output, low, alpha=self.scale)

    def delta(self) -> Tensor:
        """What the path adds to the module's weight, in float32 and in the weight's own layout."""
        with torch.no_grad():
            delta = (self.b @ self.a) * self.scale
        return delta.T if self.transposed else delta


@dataclass(frozen=True)
class AdapterFacts:
    """What an adapter's configuration file says beside the tensors."""

    rank: int
    alpha: float
    dropout: float
    base_model: str
    rank_stabilised: bool = False

    @property
    def scale(self) -> float:
        """What B A is multiplied with."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilised else self.rank)


class LoraAdapter:
    """The low-rank paths of a model, attached beside its modules, which stay as they are.

    `token_rows` are trained embeddings of special tokens, where the base was given some.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, LoraLayer],
        facts: AdapterFacts,
        *,
        token_rows: TokenRows | None = None,
    ) -> None:
        self.layers = dict(layers)
        self.facts = facts
        self.token_rows = token_rows
        self._model = model
        self._hooks: list[Any] = []

    def attach(self) -> None:
        """Let the model compute with the low-rank paths."""
        assert not self._hooks, "attached twice"
        for name, layer in self.layers.items():
            self._hooks.append(self._model.get_submodule(name).register_forward_hook(layer.beside))
        if self.token_rows is not None:
            self.token_rows.attach()

    def unload(self) -> None:
        """Take the low-rank paths away; the model is exactly what it was before `attach`."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        if self.token_rows is not None:
            self.token_rows.unload()

    def merge(self) -> None:
        """Add every path's delta to its module's weight, write trained rows, both in place, and unload."""
        self.unload()
        with torch.no_grad():
            for name, layer in self.layers.items():
                weight = self._model.get_submodule(name).weight
                assert isinstance(weight, Tensor)
                weight.copy_(weight.float() + layer.delta().to(weight.device))
        if self.token_rows is not None:
            self.token_rows.merge()

    def delta(self, name: str) -> Tensor:
        """What one module's path adds to its weight: scale B A, in the weight's layout."""
        return self.layers[name].delta()

    def parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """All A and B, and trained rows, by the names PEFT gives them in its files."""
        for name, layer in self.layers.items():
            yield f"{PREFIX}{name}.lora_A.weight", layer.a
            yield f"{PREFIX}{name}.lora_B.weight", layer.b
        if self.token_rows is not None:
            for name, rows in self.token_rows.parameters():
                yield f"{PREFIX}{name}", rows

    def save(self, folder: Path) -> None:
        """Write the adapter as PEFT does: adapter_config.json and adapter_model.safetensors."""
        from safetensors.torch import save_file

        tensors = {name: parameter.detach().cpu().contiguous() for name, parameter in self.parameters()}
        save_file(tensors, folder / ADAPTER, metadata={"format": "pt"})
        config = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": self.facts.base_model,
            "r": self.facts.rank,
            "lora_alpha": self.facts.alpha,
            "lora_dropout": self.facts.dropout,
            "use_rslora": self.facts.rank_stabilised,
            "target_modules": _shortest_targets(self._model, list(self.layers)),
            "fan_in_fan_out": any(layer.transposed for layer in self.layers.values()),
            "bias": "none",
            "inference_mode": True,
            **({} if self.token_rows is None else {"trainable_token_indices": self.token_rows.config}),
        }
        (folder / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def inject_lora(
    model: nn.Module, method: LowRank, *, seed: int, base_model: str, token_ids: tuple[int, ...] = ()
) -> LoraAdapter:
    """A fresh adapter beside the target modules, attached: A as PEFT starts it, B zero, so that nothing changes yet.

    A is drawn uniformly from +-1/sqrt(inputs) (Kaiming with a = sqrt 5), module by module from one generator on the
    CPU, so that it depends on the seed alone and not on the device. The embeddings of `token_ids` are trained, too,
    from where they are. Raises ModelError where no module is a target.
    """
    generator = torch.Generator().manual_seed(seed)
    facts = AdapterFacts(method.rank, method.alpha, method.dropout, base_model, method.rank_stabilised)
    layers = {}
    for name in target_modules(model, method.targets):
        module = model.get_submodule(name)
        outputs, inputs = _matrix_shape(module)
        device = _device(module)
        a = (torch.rand(method.rank, inputs, generator=generator) * 2 - 1) / math.sqrt(inputs)
        layers[name] = LoraLayer(
            a.to(device),
            torch.zeros(outputs, method.rank, device=device),
            scale=facts.scale,
            dropout=method.dropout,
            transposed=is_transposed(module),
        )
    token_rows = start_token_rows(model, token_ids) if token_ids else None
    adapter = LoraAdapter(model, layers, facts, token_rows=token_rows)
    adapter.attach()
    return adapter


def load_adapter(model: nn.Module, folder: Path) -> LoraAdapter:
    """The adapter of a PEFT folder, not yet attached.

    Raises ModelError for kinds of adapters other than plain LoRA, and for one that was made for another model.
    """
    config = json.loads((folder / ADAPTER_CONFIG).read_text())
    _require_plain_lora(config, folder)
    tensors = open_weights(folder)
    facts = AdapterFacts(
        rank=int(config["r"]),
        alpha=float(config["lora_alpha"]),
        dropout=float(config.get("lora_dropout", 0.0)),
        base_model=str(config["base_model_name_or_path"]),
        rank_stabilised=bool(config.get("use_rslora")),
    )
    names = [key.removeprefix(PREFIX).removesuffix(".lora_A.weight") for key in tensors if ".lora_A." in key]
    known = dict(model.named_modules())
    layers = {}
    for name in names:
        a, b = tensors[f"{PREFIX}{name}.lora_A.weight"].float(), tensors[f"{PREFIX}{name}.lora_B.weight"].float()
        if name not in known or not _fits(known[name], a, b):
            raise ModelError(f"the adapter in {folder} was made for another model: it has weights for {name}")
        device = _device(known[name])
        layers[name] = LoraLayer(
            a.to(device), b.to(device), scale=facts.scale, dropout=0.0, transposed=is_transposed(known[name])
        )
    return LoraAdapter(model, layers, facts, token_rows=_token_rows(model, config, tensors, folder))


def _token_rows(
    model: nn.Module, config: Mapping[str, Any], tensors: Mapping[str, Tensor], folder: Path
) -> TokenRows | None:
    """Trained rows of an adapter; PEFT lists their tokens for each module, or once for the embedding."""
    keys = [key for key in tensors if key.endswith(TOKEN_ROWS)]
    if not keys:
        return None
    listed = config["trainable_token_indices"]
    groups = set(map(tuple, listed.values())) if isinstance(listed, dict) else {tuple(listed)}
    if len(groups) > 1:
        raise ModelError(f"{folder} trains other tokens in the head than in the embedding, which cannot be read")
    ids: tuple[int, ...] = groups.pop()
    known = dict(model.named_modules())
    rows = {key.removeprefix(PREFIX).removesuffix(TOKEN_ROWS): tensors[key] for key in keys}
    for name, tensor in rows.items():
        weight = getattr(known.get(name), "weight", None)
        fits = isinstance(weight, Tensor) and max(ids) < weight.shape[0] and tensor.shape[1] == weight.shape[1]
        if not fits:
            raise ModelError(
                f"the adapter in {folder} was made for another model: it has {len(ids)} rows for {name}, up to token "
                f"{max(ids)}; a base that tokens were added to says so in `special_tokens`"
            )
    device = next(model.parameters()).device
    return TokenRows(model, ids, {name: tensor.to(device) for name, tensor in rows.items()})


def _require_plain_lora(config: Mapping[str, object], folder: Path) -> None:
    if config.get("peft_type") != "LORA":
        raise ModelError(f"{folder} holds an adapter of kind {config.get('peft_type')}: only LORA can be read")
    legal: dict[str, Callable[[object], bool]] = {
        "use_dora": lambda value: not value,
        "modules_to_save": lambda value: not value,
        "alpha_pattern": lambda value: not value,
        "rank_pattern": lambda value: not value,
        "bias": lambda value: value in (None, "none"),
    }
    for field, is_legal in legal.items():
        if not is_legal(config.get(field)):
            raise ModelError(f"{folder} holds a LoRA adapter with {field}: {config[field]}, which cannot be read")


def _fits(module: nn.Module, a: Tensor, b: Tensor) -> bool:
    return _is_linear(module) and _matrix_shape(module) == (b.shape[0], a.shape[1])


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | FourBitLinear) or is_transposed(module)


def _matrix_shape(module: nn.Module) -> tuple[int, int]:
    """Outputs and inputs of a linear module, however it keeps its weight."""
    if isinstance(module, nn.Linear | FourBitLinear):
        return module.out_features, module.in_features
    inputs, outputs = cast("Tensor", module.weight).shape
    return outputs, inputs


def _device(module: nn.Module) -> torch.device:
    return module.packed.device if isinstance(module, FourBitLinear) else cast("Tensor", module.weight).device


def is_transposed(module: nn.Module) -> bool:
    """Whether a linear module keeps its weight as inputs x outputs."""
    return type(module).__name__ == "Conv1D"


def linear_modules(model: nn.Module) -> list[str]:
    """Names of all linear modules but the language-model head, in the model's order."""
    heads: Any = getattr(model, "get_output_embeddings", lambda: None)
    head = heads()
    return [name for name, module in model.named_modules() if _is_linear(module) and module is not head]


def target_modules(model: nn.Module, targets: tuple[str, ...] | str) -> list[str]:
    """The linear modules that the targets name: by the end of the name, or by a pattern for the whole name.

    Raises ModelError where a target matches none, naming what there is.
    """
    linear = linear_modules(model)
    if isinstance(targets, str):
        return linear
    for target in targets:
        if not any(is_target(name, target) for name in linear):
            legal = ", ".join(sorted({name.rsplit(".", 1)[-1] for name in linear}))
            raise ModelError(f"no linear module matches the target {target!r}: the model has {legal}")
    return [name for name in linear if any(is_target(name, target) for target in targets)]


def _shortest_targets(model: nn.Module, names: list[str]) -> list[str]:
    """Last parts of the names where they mean exactly these modules to PEFT, else the whole names."""
    endings = sorted({name.rsplit(".", 1)[-1] for name in names})
    meant = {name for name, _ in model.named_modules() if name.rsplit(".", 1)[-1] in endings}
    return endings if meant == set(names) else names

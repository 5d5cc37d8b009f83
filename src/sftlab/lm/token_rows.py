"""Special tokens that a study gives to a base, and training of their embeddings beside frozen ones.

Legend: K = special tokens, D = width of the model. New rows start at the mean of the rows that the tokenizer knew
(Hewitt 2021, "Initializing New Word Embeddings for Pretrained Language Models"): nothing is drawn.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sftlab.lm.weights import TOKEN_ROWS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class SpecialIds:
    """Ids of the special tokens of a study: of all of them, and of those that the tokenizer did not have."""

    all: tuple[int, ...] = ()
    new: tuple[int, ...] = ()


def add_special_tokens(tokenizer: "PreTrainedTokenizerBase", tokens: Sequence[str]) -> SpecialIds:
    """Make these texts special tokens of a tokenizer; one that it has keeps its id."""
    from tokenizers import AddedToken

    known = tokenizer.get_vocab()
    tokenizer.add_tokens([AddedToken(text, special=True, normalized=False) for text in tokens])
    ids = tuple(tokenizer.get_vocab()[text] for text in tokens)
    return SpecialIds(ids, tuple(number for text, number in zip(tokens, ids, strict=True) if text not in known))


def add_embeddings(model: nn.Module, ids: SpecialIds) -> None:
    """Give new tokens rows in the embedding and, where it is not tied, the head: the mean of all rows before them.

    Rows are added where the matrices have none to spare; many models have more than their tokenizer uses.
    """
    if not ids.new:
        return
    own: Any = model
    size = max(own.get_input_embeddings().weight.shape[0], max(ids.new) + 1)
    own.resize_token_embeddings(size, mean_resizing=False)
    modules = [module for module in (own.get_input_embeddings(), own.get_output_embeddings()) if module is not None]
    new = torch.tensor(ids.new)
    with torch.no_grad():
        for matrix in {id(module.weight): module.weight for module in modules}.values():
            matrix[new] = matrix[: min(ids.new)].mean(0, dtype=torch.float32).to(matrix.dtype)
        bias = getattr(modules[-1], "bias", None)
        if bias is not None:
            bias[new] = bias[: min(ids.new)].mean(dtype=torch.float32).to(bias.dtype)


class TokenRows:
    """Trained rows (K x D, float32) of the embedding and of an untied head, in place of the frozen ones.

    `rows` has them by the name of their module; a tied head takes those of the embedding.
    """

    def __init__(self, model: nn.Module, ids: Sequence[int], rows: Mapping[str, Tensor]) -> None:
        self.ids = tuple(ids)
        self.rows = {name: nn.Parameter(tensor.detach().float().clone()) for name, tensor in rows.items()}
        self._model: Any = model
        self._index = torch.tensor(self.ids, device=next(model.parameters()).device)
        self._hooks: list[Any] = []

    def attach(self) -> None:
        """Let the model look these rows up, and predict with them."""
        names = matrix_modules(self._model)
        embedding = self.rows[names.embedding]
        module = self._model.get_submodule(names.embedding)
        self._hooks.append(module.register_forward_hook(_Lookup(self._index, embedding)))
        head = self._model.get_output_embeddings()
        if head is not None:
            self._hooks.append(head.register_forward_hook(_Logits(self._index, self.rows.get(names.head, embedding))))

    def unload(self) -> None:
        """Let the model be what it was before `attach`."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def merge(self) -> None:
        """Write the rows into the model's matrices, in place."""
        with torch.no_grad():
            for name, rows in self.rows.items():
                weight = self._model.get_submodule(name).weight
                weight[self._index] = rows.to(weight)

    def parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """All rows by the names PEFT gives them in its files, without its prefix."""
        for name, rows in self.rows.items():
            yield f"{name}{TOKEN_ROWS}", rows

    @property
    def config(self) -> dict[str, list[int]]:
        """PEFT's `trainable_token_indices`."""
        return {name.rsplit(".", 1)[-1]: list(self.ids) for name in self.rows}

    def squared_change(self, name: str, base: Tensor) -> float:
        """Squared norm of the change of a module's rows from those of the base's matrix, summed in float64."""
        before = base[torch.tensor(self.ids, device=base.device)].double()
        return float((self.rows[name].detach().double() - before.to(self.rows[name].device)).square().sum())


class _Lookup:
    """Forward hook of an embedding."""

    def __init__(self, index: Tensor, rows: nn.Parameter) -> None:
        self.index, self.rows = index, rows

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        found = inputs[0].unsqueeze(-1) == self.index
        looked_up = functional.embedding(found.int().argmax(-1), self.rows.to(output.dtype))
        # Gemma 3 scales inside its embedding module.
        looked_up = looked_up * getattr(module, "embed_scale", 1.0)
        return torch.where(found.any(-1, keepdim=True), looked_up.to(output.dtype), output)


class _Logits:
    """Forward hook of a language-model head."""

    def __init__(self, index: Tensor, rows: nn.Parameter) -> None:
        self.index, self.rows = index, rows

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        bias = getattr(module, "bias", None)
        part = None if bias is None else bias[self.index]
        logits = functional.linear(inputs[0], self.rows.to(inputs[0].dtype), part)
        return output.index_copy_(-1, self.index, logits.to(output.dtype))


@dataclass(frozen=True)
class MatrixModules:
    """Names of the embedding and of an untied head, `head` is empty where it is tied or there is none."""

    embedding: str
    head: str


def matrix_modules(model: Any) -> MatrixModules:  # noqa: ANN401 - any transformers model
    """Where a model's rows for tokens are."""
    names = {id(module): name for name, module in model.named_modules()}
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    untied = head is not None and head.weight is not embedding.weight
    return MatrixModules(names[id(embedding)], names[id(head)] if untied else "")


def start_token_rows(model: nn.Module, ids: Sequence[int]) -> TokenRows:
    """Rows to train that are those the model has now."""
    names = matrix_modules(model)
    index = torch.tensor(tuple(ids), device=next(model.parameters()).device)
    rows = {}
    for name in filter(None, (names.embedding, names.head)):
        weight = model.get_submodule(name).weight
        assert isinstance(weight, Tensor)
        rows[name] = weight[index]
    return TokenRows(model, ids, rows)

"""How a pocket base is trained: the recipe, the packed rows of text, and a plain loop."""

import itertools
import logging
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sftlab.pocket.architectures import ARCHITECTURES, CONTEXT_LENGTH, Architecture
from sftlab.pocket.catalogue import PocketBase
from sftlab.pocket.mixtures import MIXTURES, documents
from sftlab.pocket.world import World

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

_TOKENIZER_DOCUMENTS = 3000
_DOCUMENTS_AT_ONCE = 2000
_STEPS_PER_MESSAGE = 250
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """How a base is pretrained; `rows` of the context length are one optimizer step."""

    steps: int = 3000
    rows: int = 4
    learning_rate: float = 2.0e-3
    final_share: float = 0.05
    warmup_steps: int = 100
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    max_grad_norm: float = 1.0
    seed: int = 0

    def rate(self, step: int) -> float:
        """Learning rate of a step: linear warm-up, then a cosine down to `final_share` of the peak."""
        cosine = 0.5 * (1.0 + math.cos(math.pi * step / self.steps))
        return (
            self.learning_rate
            * min(1.0, (step + 1) / self.warmup_steps)
            * (self.final_share + (1.0 - self.final_share) * cosine)
        )


def trained_tokenizer(architecture: Architecture, world: World) -> "PreTrainedTokenizerFast":
    """The tokenizer of an architecture, trained on all mixtures alike and so shared by its bases."""
    streams = [documents(world, shares, purpose="tokenizer") for shares in MIXTURES.values()]
    return architecture.tokenizer(
        itertools.chain.from_iterable(itertools.islice(stream, _TOKENIZER_DOCUMENTS) for stream in streams)
    )


def document_tokens(texts: Sequence[str], tokenizer: "PreTrainedTokenizerFast") -> Iterator[list[int]]:
    """Each text as the model reads it: with the beginning the tokenizer puts, if any, and always an end."""
    for ids in tokenizer(list(texts))["input_ids"]:
        yield [*ids, tokenizer.eos_token_id]


def packed_rows(
    stream: Iterator[str], tokenizer: "PreTrainedTokenizerFast", *, rows: int, length: int
) -> Iterator["torch.Tensor"]:
    """Endless batches of token rows, shape (rows, length), cut from documents laid end to end."""
    import torch

    waiting: list[int] = []
    while True:
        while len(waiting) < rows * length:
            for ids in document_tokens(list(itertools.islice(stream, _DOCUMENTS_AT_ONCE)), tokenizer):
                waiting += ids
        batch, waiting = waiting[: rows * length], waiting[rows * length :]
        yield torch.tensor(batch).view(rows, length)


def document_positions(batch: "torch.Tensor", *, end: int) -> "torch.Tensor":
    """Place of each token in its own document, counted from 0 after every `end` token; shape as the batch.

    Positions that start again also tell transformers to keep attention inside a document: the same people do other
    things in the next one.
    """
    import torch

    place = torch.arange(batch.shape[1]).expand_as(batch)
    starts = torch.zeros_like(batch)
    starts[:, 1:] = torch.where(batch[:, :-1] == end, place[:, 1:], 0)
    return place - starts.cummax(dim=1).values


def train(
    model: "PreTrainedModel",
    batches: Iterator["torch.Tensor"],
    recipe: Recipe,
    *,
    end: int,
    on_step: Callable[[int, float], None],
) -> None:
    """Train in place; every batch predicts each of its tokens but the first, documents apart from one another.

    `end` is the token at which documents end; `on_step` gets the step and its loss.
    """
    import torch

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay
    )
    model.train()
    for step, batch in enumerate(itertools.islice(batches, recipe.steps)):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        read = batch[:, :-1]
        logits = model(input_ids=read, position_ids=document_positions(read, end=end), use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
        optimizer.step()
        on_step(step, loss.item())
    model.train(mode=False)


def make_base(base: PocketBase, folder: Path, *, world: World, recipe: Recipe) -> Path:
    """Train one base and save it in a folder of its name as any transformers checkpoint; returns that folder."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(recipe.seed)
    architecture = ARCHITECTURES[base.architecture]
    tokenizer = trained_tokenizer(architecture, world)
    model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
        architecture.config(len(tokenizer)), dtype=torch.float32
    )
    batches = packed_rows(
        documents(world, MIXTURES[base.mixture], purpose="pretraining"),
        tokenizer,
        rows=recipe.rows,
        length=CONTEXT_LENGTH + 1,
    )

    def report(step: int, loss: float) -> None:
        if step % _STEPS_PER_MESSAGE == 0 or step == recipe.steps - 1:
            _log.info("%s step %d of %d: loss %.3f", base.name, step, recipe.steps, loss)

    train(model, batches, recipe, end=int(tokenizer.eos_token_id), on_step=report)
    return _save(model, tokenizer, folder / base.name)


def _save(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerFast", out: Path) -> Path:
    import torch

    if out.exists():
        shutil.rmtree(out)
    for weights in model.parameters():
        weights.data = weights.data.to(torch.float16)
    model.save_pretrained(out)
    model.config.dtype = torch.float32
    model.config.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out

"""Datasets as token arrays: encoded once, kept on disk, memory-mapped by every run that uses them."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sftlab.data.example import Example
from sftlab.lm.templates import render_example, resolve_template
from sftlab.lm.tokenizer import BaseTokenizer, Segment, Tokens
from sftlab.study.declaration import Template
from sftlab.study.identity import digest

if TYPE_CHECKING:
    from sftlab.lm.base import LoadedBase

VERSION = 1
CHUNK = 1024


@dataclass(frozen=True)
class EncodingRecipe:
    """How examples become tokens; the effective maximum is the smaller of `max_tokens` and the base's context."""

    template: Template = "auto"
    loss_on: Literal["response", "all"] = "response"
    max_tokens: int = 2048
    overflow: Literal["drop", "truncate"] = "truncate"


@dataclass(frozen=True)
class Dropped:
    """An example that is not trained on: its place among the given examples, its row in the source, and why."""

    position: int
    index: int
    reason: str


@dataclass(frozen=True)
class EncodedExamples:
    """Token arrays of a dataset under one base.

    `ids`, `learned` (counts in the loss) and `response` (what the assistant says, without the end token) are flat, one
    entry a token; example n is `offsets[n]:offsets[n + 1]`. The others have one entry a kept example. Bytes are UTF-8
    bytes of what the kept tokens stand for: `response_bytes` belongs to the tokens in `response`, and prompt means all
    other text, the template's included; beginning-of-sequence and end tokens are in neither count. `positions` are
    places among the given examples, `source_rows` their rows in the source, `num_given` how many were given.
    """

    digest: str
    ids: NDArray[np.int32]
    learned: NDArray[np.bool_]
    response: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    positions: NDArray[np.int64]
    source_rows: NDArray[np.int64]
    prompt_bytes: NDArray[np.int64]
    response_bytes: NDArray[np.int64]
    prompt_tokens: NDArray[np.int64]
    response_tokens: NDArray[np.int64]
    dropped: tuple[Dropped, ...]
    truncated: int
    num_given: int

    def __len__(self) -> int:
        return len(self.positions)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example."""
        return np.diff(self.offsets)

    @cached_property
    def learned_tokens(self) -> NDArray[np.int64]:
        """Tokens of each example that count in the loss."""
        counts = np.concatenate([[0], np.cumsum(self.learned)])
        return np.diff(counts[self.offsets])


class PromptAndContinuation(NamedTuple):
    """A text's ids, parted where training parts prompt and response."""

    prompt_ids: list[int]
    continuation_ids: list[int]


def encode_continuation(
    tokenizer: BaseTokenizer, prompt: Sequence[Segment], continuation: str
) -> PromptAndContinuation:
    """Ids of prompt and continuation encoded as one text; the parting is the one of training.

    The continuation begins with the first token that overlaps its text, also where that token starts with white space
    of the prompt.
    """
    tokens = tokenizer.encode([[*prompt, Segment(continuation, learned=True)]])[0]
    learned = np.flatnonzero(tokens.learned)
    boundary = int(learned[0]) if len(learned) else len(tokens.ids)
    ids = tokens.ids.tolist()
    return PromptAndContinuation(ids[:boundary], ids[boundary:])


def encode_prompt(tokenizer: BaseTokenizer, prompt: Sequence[Segment]) -> list[int]:
    """Ids of a prompt to generate from: what training has in front of a response that begins with a letter.

    White space that the tokenizer joins to the response's first word is left for the model to write.
    """
    return encode_continuation(tokenizer, prompt, "a").prompt_ids


def encode_examples(
    examples: Sequence[Example], base: "LoadedBase | BaseTokenizer", *, recipe: EncodingRecipe, folder: Path
) -> EncodedExamples:
    """The token arrays of `examples`, from `folder` where they were made before, else made and kept there.

    Whole texts are encoded at once, and a token is learned if its characters overlap learned text. An example longer
    than the maximum is cut on the right or dropped; one without any learned token left is dropped.
    """
    tokenizer = base if isinstance(base, BaseTokenizer) else base.base_tokenizer
    template = resolve_template(recipe.template, tokenizer.tokenizer)
    maximum = min(recipe.max_tokens, tokenizer.context_length)
    key = digest(
        {
            "version": VERSION,
            "tokenizer": tokenizer.digest,
            "template": [template.name, template.source],
            "loss_on": recipe.loss_on,
            "maximum": maximum,
            "overflow": recipe.overflow,
            "examples": _content_digest(examples),
        }
    )
    kept = folder / key
    if not (kept / "about.json").is_file():
        collected = _Collected(maximum, recipe.overflow)
        for start in range(0, len(examples), CHUNK):
            chunk = examples[start : start + CHUNK]
            rendered = [render_example(example, template, loss_on=recipe.loss_on) for example in chunk]
            for number, tokens in enumerate(tokenizer.encode(rendered)):
                collected.take(tokens, start + number, chunk[number].index)
        _write(kept, collected, len(examples))
    return _read(kept)


def _content_digest(examples: Sequence[Example]) -> str:
    content = hashlib.sha256()
    for example in examples:
        turns = [(turn.role, turn.content) for turn in example.turns]
        content.update(json.dumps([example.index, turns]).encode())
    return content.hexdigest()


class _Collected:
    """Arrays as they grow, example by example."""

    def __init__(self, maximum: int, overflow: Literal["drop", "truncate"]) -> None:
        self.maximum = maximum
        self.overflow = overflow
        self.ids: list[NDArray[np.int32]] = []
        self.learned: list[NDArray[np.bool_]] = []
        self.response: list[NDArray[np.bool_]] = []
        self.columns: list[tuple[int, ...]] = []
        self.dropped: list[tuple[int, int, str]] = []
        self.truncated = 0

    def take(self, tokens: Tokens, position: int, index: int) -> None:
        whole = len(tokens.ids)
        if whole > self.maximum and self.overflow == "drop":
            self.dropped.append((position, index, f"{whole} tokens, more than {self.maximum}"))
            return
        length = min(whole, self.maximum)
        if not tokens.learned[:length].any():
            self.dropped.append((position, index, f"none of its first {length} tokens is learned"))
            return
        self.truncated += whole > length
        response = tokens.response[:length]
        prompt_bytes, response_bytes = tokens.covered_bytes(length)
        spelled = tokens.char_bytes[np.minimum(tokens.starts[:length], len(tokens.char_bytes) - 1)] > 0
        prompt_tokens = int(np.count_nonzero(spelled & ~response & (tokens.ends > 0)[:length]))
        self.ids.append(tokens.ids[:length])
        self.learned.append(tokens.learned[:length])
        self.response.append(response)
        self.columns.append(
            (position, index, length, prompt_bytes, response_bytes, prompt_tokens, int(np.count_nonzero(response)))
        )


_COLUMNS = ("position", "index", "length", "prompt_bytes", "response_bytes", "prompt_tokens", "response_tokens")


def _write(target: Path, collected: _Collected, num_given: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name[:12]}-", dir=target.parent))
    try:
        arrays = {
            "ids": np.concatenate([np.empty(0, np.int32), *collected.ids]),
            "learned": np.concatenate([np.empty(0, np.bool_), *collected.learned]),
            "response": np.concatenate([np.empty(0, np.bool_), *collected.response]),
            "examples": np.array(collected.columns, dtype=np.int64).reshape(-1, len(_COLUMNS)).T,
        }
        for name, array in arrays.items():
            with (temporary / f"{name}.npy").open("wb") as file:
                np.save(file, np.ascontiguousarray(array))
                file.flush()
                os.fsync(file.fileno())
        about = {"dropped": collected.dropped, "truncated": collected.truncated, "num_given": num_given}
        (temporary / "about.json").write_text(json.dumps(about))
        try:
            temporary.rename(target)
        except OSError:
            # Another process was quicker: its arrays are the same. Without this file it is what is left of a removal.
            if not (target / "about.json").is_file():
                shutil.rmtree(target, ignore_errors=True)
                temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _read(folder: Path) -> EncodedExamples:
    about = json.loads((folder / "about.json").read_text())
    ids, learned, response = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("ids", "learned", "response"))
    columns = dict(zip(_COLUMNS, np.load(folder / "examples.npy"), strict=True))
    return EncodedExamples(
        digest=folder.name,
        ids=ids,
        learned=learned,
        response=response,
        offsets=np.concatenate([[0], np.cumsum(columns["length"])]).astype(np.int64),
        positions=columns["position"],
        source_rows=columns["index"],
        prompt_bytes=columns["prompt_bytes"],
        response_bytes=columns["response_bytes"],
        prompt_tokens=columns["prompt_tokens"],
        response_tokens=columns["response_tokens"],
        dropped=tuple(Dropped(*item) for item in about["dropped"]),
        truncated=about["truncated"],
        num_given=about["num_given"],
    )

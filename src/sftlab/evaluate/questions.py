"""A benchmark as token ids of one base, asked in one template; made once for as long as the base stays in memory."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np

from sftlab.benchmarks.item import Benchmark, Item
from sftlab.evaluate.compiled import Encoded, read_compiled, write_compiled
from sftlab.lm.encoding import encode_continuation, encode_prompt
from sftlab.lm.generation import Asking
from sftlab.lm.likelihood import encode_pairs, prefix_id
from sftlab.lm.request_tree import Ids, Request
from sftlab.lm.templates import ResolvedTemplate, render_prompt, resolve_template
from sftlab.lm.tokenizer import TokenizedModel
from sftlab.study.declaration import Template
from sftlab.study.identity import digest

VERSION = 1
MIN_NEW_TOKENS = 64
"""New tokens that a context must have room for where the benchmark allows as many."""


@dataclass(frozen=True, eq=False)
class Question:
    """One item as ids.

    `continuations` are its choices, or its gold answer alone, and `answers` their texts without the delimiter;
    `prompt_ids` is what an answer is generated from. Either is empty where no scorer asks for it.
    """

    item: Item
    continuations: tuple[Request, ...]
    answers: tuple[str, ...]
    prompt_ids: Ids

    @property
    def num_bytes(self) -> tuple[int, ...]:
        """UTF-8 bytes of each answer."""
        return tuple(len(answer.encode()) for answer in self.answers)

    def likelihood_obstacle(self, context_length: int) -> str | None:
        """Why the item cannot be scored by likelihood, or None where it can."""
        longest = max(request.num_inputs for request in self.continuations)
        if longest > context_length:
            return f"{longest} tokens do not fit the context of {context_length}"
        if min(self.num_bytes) == 0 or any(len(request.continuation_ids) == 0 for request in self.continuations):
            return "an answer has no text"
        return None

    def generation_obstacle(self, context_length: int, max_new_tokens: int) -> str | None:
        """Why no answer can be generated, or None where one can.

        A prompt must leave room for `max_new_tokens`, or for 64 where those are more.
        """
        needed = len(self.prompt_ids) + min(max_new_tokens, MIN_NEW_TOKENS)
        return f"{needed} tokens do not fit the context of {context_length}" if needed > context_length else None


_OF_BASE: "WeakKeyDictionary[TokenizedModel, dict[tuple[str, str], tuple[Question, ...]]]" = WeakKeyDictionary()


def questions(
    base: TokenizedModel,
    benchmark: Benchmark,
    template: Literal["plain"] | Template,
    *,
    folder: Path | None = None,
) -> tuple[tuple[Question, ...], tuple[str, ...]]:
    """The items of a benchmark in ids, and the texts that end a generated answer.

    `plain` puts context and continuation together as lm-evaluation-harness does. A template puts the context where
    training had the instruction and the continuation, without the benchmark's delimiter, where it had the response
    (lm-evaluation-harness drops the delimiter under a chat template too); the token that ends the assistant's turn then
    ends an answer as well. Ids are read from `folder` where they were made before, else kept there.
    """
    resolved = template if template == "plain" else resolve_template(template, base.base_tokenizer.tokenizer)
    source = "plain" if resolved == "plain" else f"{resolved.name}\n{resolved.source}"
    known = _OF_BASE.setdefault(base, {})
    key = (_content_digest(benchmark), source)
    if key not in known:
        name = digest({"version": VERSION, "tokenizer": base.base_tokenizer.digest, "asked": list(key)})
        known[key] = _questions(base, benchmark, resolved, None if folder is None else folder / f"benchmark-{name}")
    end = None if resolved == "plain" else resolved.end_of_turn
    return known[key], (*benchmark.stops, *([end] if end else []))


def asking(
    base: TokenizedModel,
    benchmark: Benchmark,
    template: Literal["plain"] | Template,
    *,
    folder: Path | None = None,
) -> Asking | None:
    """What a benchmark has a model write, of a dialogue its first turns; None where it has it write nothing."""
    if not _writes(benchmark):
        return None
    asked, stops = questions(base, benchmark, template, folder=folder)
    limit = benchmark.max_new_tokens
    fitting = [one.prompt_ids for one in asked if one.generation_obstacle(base.context_length, limit) is None]
    return Asking(fitting, limit, stops) if fitting else None


def _writes(benchmark: Benchmark) -> bool:
    return not {"generative", "judge"}.isdisjoint(benchmark.scorers)


def _content_digest(benchmark: Benchmark) -> str:
    content = hashlib.sha256(repr((benchmark.scorers, benchmark.delimiter, benchmark.system_prompt)).encode())
    for item in benchmark.items:
        content.update(repr(item).encode())
    return content.hexdigest()


def _questions(
    base: TokenizedModel, benchmark: Benchmark, template: ResolvedTemplate | Literal["plain"], kept: Path | None
) -> tuple[Question, ...]:
    answers = _answers(benchmark)
    encoded = None if kept is None else read_compiled(kept)
    if encoded is None:
        encoded = _encoded(base, benchmark, template)
        if kept is not None:
            write_compiled(kept, encoded)
    return tuple(
        Question(
            item, one.continuations, tuple(text.removeprefix(benchmark.delimiter) for text in texts), one.prompt_ids
        )
        for item, one, texts in zip(benchmark.items, encoded, answers, strict=True)
    )


def _answers(benchmark: Benchmark) -> list[tuple[str, ...]]:
    """Of every item the continuations whose log-likelihoods are asked: its choices, or its first gold answer."""
    asked = "likelihood" in benchmark.scorers
    return [(item.choices or item.gold[:1]) if asked else () for item in benchmark.items]


def _encoded(
    base: TokenizedModel, benchmark: Benchmark, template: ResolvedTemplate | Literal["plain"]
) -> list[Encoded]:
    items, answers = benchmark.items, _answers(benchmark)
    writes = _writes(benchmark)
    pairs = [(item.context, answer) for item, texts in zip(items, answers, strict=True) for answer in texts]
    requests = iter(_requests(base, pairs, benchmark, template))
    return [
        Encoded(
            tuple(next(requests) for _ in texts),
            _prompt(base, item.context, benchmark, template) if writes else np.empty(0, np.int32),
        )
        for item, texts in zip(items, answers, strict=True)
    ]


def _requests(
    base: TokenizedModel,
    pairs: Sequence[tuple[str, str]],
    benchmark: Benchmark,
    template: ResolvedTemplate | Literal["plain"],
) -> list[Request]:
    if template == "plain":
        return encode_pairs(base, pairs)
    requests = []
    for context, continuation in pairs:
        prompt = render_prompt(context, template, system=benchmark.system_prompt)
        parted = encode_continuation(base.base_tokenizer, prompt, continuation.removeprefix(benchmark.delimiter))
        requests.append(
            Request(np.array(parted.prompt_ids, dtype=np.int32), np.array(parted.continuation_ids, dtype=np.int32))
        )
    return requests


def _prompt(
    base: TokenizedModel, context: str, benchmark: Benchmark, template: ResolvedTemplate | Literal["plain"]
) -> Ids:
    if template == "plain":
        ids = base.base_tokenizer.encode_text(context)
    else:
        prompt = render_prompt(context, template, system=benchmark.system_prompt)
        ids = encode_prompt(base.base_tokenizer, prompt)
    return np.array(ids or [prefix_id(base)], dtype=np.int32)

"""Greedy decoding in batches.

Legend: B = rows still being written, T = prompt tokens (padded on the left).
"""

import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sftlab.lm.base import LoadedBase
from sftlab.lm.memory import Shortage, run_within_memory
from sftlab.lm.row_layout import attends_as_tree
from sftlab.lm.writing import Ending, Writing, is_done, text_of
from sftlab.lm.writing_queue import WritingQueue


@dataclass(frozen=True, eq=False)
class WritingBatch:
    """Prompts that are continued together."""

    rows: tuple[Writing, ...]

    @property
    def num_tokens(self) -> int:
        """Tokens whose keys and values are kept when every row is written to its limit."""
        return len(self.rows) * max(len(row.prompt_ids) + row.limit for row in self.rows)

    def halves(self) -> tuple[Self, ...]:
        """The same prompts in two batches; none where there is one."""
        middle = len(self.rows) // 2
        return (type(self)(self.rows[:middle]), type(self)(self.rows[middle:])) if middle else ()


def generate_greedy(  # noqa: PLR0913 - how it is asked, and who is told
    base: LoadedBase,
    prompts: Sequence[Sequence[int] | NDArray[np.int32]],
    *,
    max_new_tokens: int,
    stops: tuple[str, ...] = (),
    max_batch_tokens: int,
    on_progress: Callable[[float], None] = lambda _: None,
    shortage: Shortage | None = None,
) -> list[str]:
    """The likeliest token, again and again, after each prompt: the texts written, in the order of the prompts.

    A text ends before the base's end-of-sequence token or those its generation settings name; before the first of
    `stops`, be it text or the name of a special token; after `max_new_tokens`; or where the model's context is full.
    Nothing else of the model's generation settings counts (no sampling, no penalties). `on_progress` is told the share
    of prompts done. A prompt that does not fit in memory alone is noted in `shortage` and its text is empty, or raises
    ModelError where none is given.
    """
    rows = [
        _begun(base, number, prompt, max_new_tokens=max_new_tokens, stops=stops)
        for number, prompt in enumerate(prompts)
    ]
    return write_answers(base, rows, max_batch_tokens=max_batch_tokens, on_progress=on_progress, shortage=shortage)


@dataclass(frozen=True, eq=False)
class Asking:
    """Prompts that are answered alike: new tokens at most, and texts that end an answer."""

    prompts: Sequence[Sequence[int] | NDArray[np.int32]]
    max_new_tokens: int
    stops: tuple[str, ...] = ()


def generate_all(base: LoadedBase, asked: Sequence[Asking], *, max_batch_tokens: int) -> list[list[str]]:
    """Answers to several sets of prompts from one queue, set by set; otherwise as `generate_greedy`."""
    numbers = itertools.count()
    rows = [
        _begun(base, next(numbers), prompt, max_new_tokens=one.max_new_tokens, stops=one.stops)
        for one in asked
        for prompt in one.prompts
    ]
    texts = iter(write_answers(base, rows, max_batch_tokens=max_batch_tokens))
    return [[next(texts) for _ in one.prompts] for one in asked]


def _begun(
    base: LoadedBase,
    number: int,
    prompt: Sequence[int] | NDArray[np.int32],
    *,
    max_new_tokens: int,
    stops: tuple[str, ...],
) -> Writing:
    assert 0 < len(prompt) <= base.context_length
    special = base.base_tokenizer.special_tokens
    end_ids = frozenset({*_end_ids(base), *(special[stop] for stop in stops if stop in special)})
    ending = Ending(end_ids, tuple(stop for stop in stops if stop))
    limit = min(max_new_tokens, base.context_length - len(prompt))
    return Writing(number, np.asarray(prompt, dtype=np.int64), limit, ending)


def write_answers(
    base: LoadedBase,
    rows: Sequence[Writing],
    *,
    max_batch_tokens: int,
    on_progress: Callable[[float], None] = lambda _: None,
    shortage: Shortage | None = None,
) -> list[str]:
    """Write after every prompt, in one queue where the model allows it, else batch by batch; texts by number."""
    texts = [""] * len(rows)
    num_done = 0

    def done(row: Writing) -> None:
        nonlocal num_done
        texts[row.number] = text_of(base, row)
        num_done += 1
        on_progress(num_done / len(rows))

    def unfit(row: Writing) -> None:
        assert shortage is not None
        shortage.unfit[row.number] = len(row.prompt_ids) + row.limit

    def run(batch: WritingBatch) -> None:
        for row in batch.rows:
            row.written.clear()
        _write(base, batch.rows)
        for row in batch.rows:
            done(row)

    leave_out = None if shortage is None else unfit
    training = base.model.training
    base.model.eval()
    with torch.inference_mode():
        if _takes(base, "position_ids") and attends_as_tree(base):
            failures = WritingQueue(base, rows, room=max_batch_tokens, done=done, leave_out=leave_out).run()
        else:
            batches = _batches(rows, max_batch_tokens, padded=_takes(base, "position_ids"))
            alone = None if leave_out is None else (lambda batch: leave_out(batch.rows[0]))
            failures = run_within_memory(batches, run, leave_out=alone)
    base.model.train(training)
    if shortage is not None:
        shortage.times += failures
    return texts


def _end_ids(base: LoadedBase) -> set[int]:
    named = getattr(base.model.generation_config, "eos_token_id", None)
    return {base.eos_id, *(named if isinstance(named, list) else [] if named is None else [named])}


def _takes(base: LoadedBase, argument: str) -> bool:
    return argument in inspect.signature(base.model.forward).parameters


def _batches(rows: Sequence[Writing], max_tokens: int, *, padded: bool) -> Iterator[WritingBatch]:
    """Rows of like length together; of equal length only, where the model cannot be told positions behind padding."""
    longest_first = sorted(rows, key=lambda row: len(row.prompt_ids), reverse=True)
    batch: list[Writing] = []
    for row in longest_first:
        fits = WritingBatch((*batch, row)).num_tokens <= max_tokens
        if batch and not (fits and (padded or len(row.prompt_ids) == len(batch[0].prompt_ids))):
            yield WritingBatch(tuple(batch))
            batch = []
        batch.append(row)
    if batch:
        yield WritingBatch(tuple(batch))


def _write(base: LoadedBase, rows: Sequence[Writing]) -> None:
    """Write after every prompt until all are done; rows that are done leave the batch."""
    longest = max(len(row.prompt_ids) for row in rows)
    ids = np.full((len(rows), longest), base.pad_id, dtype=np.int64)
    real = np.zeros(ids.shape, dtype=np.int64)
    for place, row in enumerate(rows):
        ids[place, longest - len(row.prompt_ids) :] = row.prompt_ids
        real[place, longest - len(row.prompt_ids) :] = 1
    ids_BT, mask_BT = (torch.from_numpy(array).to(base.device) for array in (ids, real))
    cache: Any = None
    active = [row for row in rows if row.limit > 0]
    while active:
        logits_B, cache = _next_logits(base, ids_BT, mask_BT, cache)
        chosen = logits_B.argmax(1)
        for row, token in zip(active, chosen.tolist(), strict=True):
            row.written.append(token)
        going = [place for place, row in enumerate(active) if not is_done(base, row)]
        if len(going) < len(active):
            if not going:
                return
            active = [active[place] for place in going]
            kept = torch.tensor(going, device=base.device)
            chosen, mask_BT = chosen[kept], mask_BT[kept]
            cache.batch_select_indices(kept)
        ids_BT = chosen[:, None]
        mask_BT = torch.cat([mask_BT, torch.ones_like(ids_BT)], dim=1)


def _next_logits(base: LoadedBase, ids_BT: Tensor, mask_BT: Tensor, cache: object) -> tuple[Tensor, object]:
    inputs: dict[str, Any] = {"input_ids": ids_BT, "attention_mask": mask_BT, "past_key_values": cache}
    if _takes(base, "position_ids"):
        positions = (mask_BT.cumsum(1) - 1).clamp(min=0)
        inputs["position_ids"] = positions[:, -ids_BT.shape[1] :]
    if _takes(base, "logits_to_keep"):
        inputs["logits_to_keep"] = 1
    with base.computing():
        out = base.model(**inputs, use_cache=True)
    return out.logits[:, -1].float(), out.past_key_values

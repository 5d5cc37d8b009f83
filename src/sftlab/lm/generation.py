"""Greedy decoding in batches.

Legend: B = rows still being written, T = prompt tokens (padded on the left).
"""

import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sftlab.lm.base import LoadedBase
from sftlab.lm.kept_answers import KeptAnswers, work_digest
from sftlab.lm.memory import Shortage, run_within_memory
from sftlab.lm.request_tree import prompt_groups
from sftlab.lm.row_layout import attends_as_tree
from sftlab.lm.writing import Ending, Writing, is_done, text_of
from sftlab.lm.writing_queue import WritingQueue

SEGMENT_ROOMS = 8
"""Tokens of a segment of rows, in those that are held at once."""


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


@dataclass(frozen=True, eq=False)
class Asking:
    """Prompts that are answered alike: new tokens at most, and texts that end an answer."""

    prompts: Sequence[Sequence[int] | NDArray[np.int32]]
    max_new_tokens: int
    stops: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """A name for what is asked, in this order."""
        ids = (np.asarray(prompt, dtype=np.int32) for prompt in self.prompts)
        return work_digest("asked", ids, self.max_new_tokens, self.stops)


def generate_greedy(  # noqa: PLR0913 - how it is asked, and who is told
    base: LoadedBase,
    prompts: Sequence[Sequence[int] | NDArray[np.int32]],
    *,
    max_new_tokens: int,
    stops: tuple[str, ...] = (),
    max_batch_tokens: int,
    on_progress: Callable[[float], None] = lambda _: None,
    shortage: Shortage | None = None,
    kept: KeptAnswers | None = None,
) -> list[str]:
    """The likeliest token, again and again, after each prompt: the texts written, in the order of the prompts.

    A text ends before the base's end-of-sequence token or those its generation settings name; before the first of
    `stops`, be it text or the name of a special token; after `max_new_tokens`; or where the model's context is full.
    Nothing else of the model's generation settings counts (no sampling, no penalties). `on_progress` is told the share
    of prompts done. A prompt that does not fit in memory alone is noted in `shortage` and its text is empty, or raises
    ModelError where none is given.
    """
    asked = Asking(prompts, max_new_tokens, stops)
    (texts,) = generate_all(
        base, [asked], max_batch_tokens=max_batch_tokens, on_progress=on_progress, shortage=shortage, kept=kept
    )
    return texts


def generate_all(
    base: LoadedBase,
    asked: Sequence[Asking],
    *,
    max_batch_tokens: int,
    on_progress: Callable[[float], None] = lambda _: None,
    shortage: Shortage | None = None,
    kept: KeptAnswers | None = None,
) -> list[list[str]]:
    """Answers to several sets of prompts from one queue, set by set; otherwise as `generate_greedy`.

    `shortage` counts the prompts of all sets one behind another.
    """
    numbers = itertools.count()
    rows = [
        _begun(base, next(numbers), prompt, max_new_tokens=one.max_new_tokens, stops=one.stops)
        for one in asked
        for prompt in one.prompts
    ]
    texts = iter(
        write_answers(
            base, rows, max_batch_tokens=max_batch_tokens, on_progress=on_progress, shortage=shortage, kept=kept
        )
    )
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
    kept: KeptAnswers | None = None,
) -> list[str]:
    """Write after every prompt, in one queue where the model allows it, else batch by batch; texts by number.

    The queue is emptied after every segment of rows, which are divided by their lengths alone; segments that are in
    `kept` are not written again.
    """
    texts = [""] * len(rows)
    num_done = 0
    shortage_of_memory = Shortage() if shortage is None else shortage
    settings = [(row.limit, sorted(row.ending.end_ids), row.ending.stops) for row in rows]
    sequences = (row.prompt_ids.astype(np.int32) for row in rows)
    work = "" if kept is None else work_digest("answers", sequences, max_batch_tokens, settings)
    known = {} if kept is None else kept.read(work)

    def done(row: Writing) -> None:
        nonlocal num_done
        texts[row.number] = text_of(base, row)
        num_done += 1
        on_progress(num_done / len(rows))

    def unfit(row: Writing) -> None:
        shortage_of_memory.unfit[row.number] = len(row.prompt_ids) + row.limit

    training = base.model.training
    base.model.eval()
    with torch.inference_mode():
        for segment in _segments(rows, SEGMENT_ROOMS * max_batch_tokens):
            if all(row.number in known for row in segment):
                for row in segment:
                    texts[row.number] = known[row.number]
                num_done += len(segment)
                continue
            leave_out = None if shortage is None else unfit
            shortage_of_memory.times += _write_segment(base, segment, max_batch_tokens, done, leave_out)
            if kept is not None and not any(row.number in shortage_of_memory.unfit for row in segment):
                kept.add(work, {row.number: texts[row.number] for row in segment})
    base.model.train(training)
    return texts


def _segments(rows: Sequence[Writing], tokens: int) -> Iterator[list[Writing]]:
    """Rows in the order in which they are asked, parted where so many tokens are together."""
    segment: list[Writing] = []
    held = 0
    for _, group in prompt_groups([row.prompt_ids.astype(np.int32) for row in rows]):
        for one in group:
            row = rows[one.branches[0].request]
            segment.append(row)
            held += len(row.prompt_ids) + row.limit
            if held >= tokens:
                yield segment
                segment, held = [], 0
    if segment:
        yield segment


def _write_segment(
    base: LoadedBase,
    rows: Sequence[Writing],
    max_batch_tokens: int,
    done: Callable[[Writing], None],
    leave_out: Callable[[Writing], None] | None,
) -> int:
    """Write after every prompt; how often memory ran out."""
    if _takes(base, "position_ids") and attends_as_tree(base):
        return WritingQueue(base, rows, room=max_batch_tokens, done=done, leave_out=leave_out).run()

    def run(batch: WritingBatch) -> None:
        for row in batch.rows:
            row.written.clear()
        _write(base, batch.rows)
        for row in batch.rows:
            done(row)

    batches = _batches(rows, max_batch_tokens, padded=_takes(base, "position_ids"))
    alone = None if leave_out is None else (lambda batch: leave_out(batch.rows[0]))
    return run_within_memory(batches, run, leave_out=alone)


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

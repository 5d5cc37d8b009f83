"""Greedy answers in one queue: rows that are done leave, waiting ones take their places.

Prompts are computed one behind another, what they share (worked examples) once. Legend: B = rows being written.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sftlab.errors import ModelError
from sftlab.lm.base import LoadedBase
from sftlab.lm.last_layer import LastStates
from sftlab.lm.memory import free_memory, is_out_of_memory
from sftlab.lm.request_tree import Branch, Ids, Row, RowBatch, prompt_groups, row_tokens
from sftlab.lm.row_layout import prefix_cache, sequence_inputs
from sftlab.lm.tree_attention import attending_as_tree
from sftlab.lm.writing import Writing, is_done
from sftlab.lm.writing_cache import Computed, WritingCache, grown_from

FREE_SHARE = 0.25
"""Share of the rows that must be done before others are taken in, or the rest is moved together."""


UNREAD = Branch(0, np.zeros(1, dtype=np.int32))
"""The token that is to be written."""


class WritingQueue:
    """Rows that wait and rows that are being written, of which at most `room` tokens are kept."""

    def __init__(
        self,
        base: LoadedBase,
        rows: Sequence[Writing],
        *,
        room: int,
        done: Callable[[Writing], None],
        leave_out: Callable[[Writing], None] | None,
    ) -> None:
        self._base = base
        self._rows = [row for row in rows if row.limit > 0]
        self._room = room
        self._done = done
        self._leave_out = leave_out
        self._last = LastStates(base)
        self._ended: set[int] = set()
        self._tried_alone: set[int] = set()
        for row in rows:
            if row.limit == 0:
                done(row)

    def run(self) -> int:
        """Write all; how often memory ran out."""
        failures, todo = 0, self._rows
        while todo:
            self._begin(todo)
            try:
                while self._waiting or self._active:
                    self._advance()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                failures += 1
                self._give_up()
            todo = [row for row in self._rows if row.number not in self._ended]
        return failures

    def _give_up(self) -> None:
        """Forget what is half written, and hold half of it from now on; a single row is tried twice at most."""
        slots = [row for row in self._slots if row is not None]
        held = [row for row in (*slots, *self._joining) if row.number not in self._ended]
        self._begin([])
        free_memory()
        for row in held:
            row.written.clear()
        tokens = sum(len(row.prompt_ids) + row.limit for row in held)
        self._room = max(1, min(self._room, tokens) // 2)
        if len(held) != 1:
            return
        (row,) = held
        if row.number not in self._tried_alone:
            self._tried_alone.add(row.number)
            return
        if self._leave_out is None:
            raise ModelError(f"out of memory with a single row of {tokens} tokens: use a device with more memory")
        self._leave_out(row)
        self._ended.add(row.number)

    def _begin(self, rows: Sequence[Writing]) -> None:
        groups = prompt_groups([row.prompt_ids.astype(np.int32) for row in rows])
        self._waiting = deque(
            (prefix, deque(rows[one.branches[0].request] for one in group)) for prefix, group in groups
        )
        self._prefix: tuple[bytes, Any] = (b"", None)
        self._cache = WritingCache(self._base.device)
        self._slots: list[Writing | None] = []
        self._joining: list[Writing] = []

    def _left(self) -> list[Writing]:
        return [row for _, group in self._waiting for row in group]

    @property
    def _active(self) -> list[int]:
        return [place for place, row in enumerate(self._slots) if row is not None]

    def _advance(self) -> None:
        """Write one token after every row, or first let others in."""
        active = self._active
        free = len(self._slots) - len(active)
        if not active or free > FREE_SHARE * len(self._slots) or self._cache.is_full:
            self._rebuild(active)
            return
        tokens = [0 if row is None else row.written[-1] for row in self._slots]
        ids = torch.tensor(tokens, device=self._base.device)[:, None]
        with self._base.computing():
            logits_B = self._logits({"input_ids": ids, **self._cache.inputs(), "use_cache": True}, None)
        self._slots = self._taken(self._slots, logits_B)

    def _rebuild(self, active: Sequence[int]) -> None:
        kept: list[Writing] = [row for row in self._slots if row is not None]
        joining: list[Computed] = []
        joined: list[Writing | None] = []
        self._joining = []
        while (batch := self._next_batch([*kept, *self._joining])) is not None:
            prefix, rows = batch
            self._joining.extend(rows)
            computed, logits_B = self._computed(prefix, rows)
            joined.extend(self._taken(rows, logits_B))
            joining.append(computed)
        if joining or active:
            self._cache.rebuild(active, joining)
        self._slots, self._joining = [*kept, *joined], []

    def _next_batch(self, held: Sequence[Writing]) -> tuple[Ids, list[Writing]] | None:
        """As many rows of one prefix as there is room for: one at least, where nothing is held."""
        if not self._waiting:
            return None
        prefix, group = self._waiting[0]
        width = max((len(row.prompt_ids) + row.limit for row in held), default=0)
        rows: list[Writing] = []
        computed = 0
        while group:
            row = group[0]
            width = max(width, len(row.prompt_ids) + row.limit)
            computed += len(row.prompt_ids) - len(prefix)
            full = (len(held) + len(rows) + 1) * width > self._room or (rows and computed > self._room)
            if full and (held or rows):
                break
            rows.append(group.popleft())
        if not group:
            self._waiting.popleft()
        return (prefix, rows) if rows else None

    def _computed(self, prefix_ids: Ids, rows: Sequence[Writing]) -> tuple[Computed, Tensor]:
        """Keys and values of prompts, and the logits of what follows each."""
        asked = tuple(Row(row.prompt_ids.astype(np.int32), (UNREAD,)) for row in rows)
        tokens = [row_tokens(row, len(prefix_ids)) for row in asked]
        inputs = sequence_inputs(self._base, RowBatch(prefix_ids, asked, padded=False), tokens)
        held: Any = grown_from(self._lent(prefix_ids))
        spans = inputs["tree"].spans
        last = torch.tensor([end - 1 for _, end in spans], device=self._base.device)
        with attending_as_tree(self._base.model), self._base.computing():
            logits_B = self._logits({**inputs, "past_key_values": held, "use_cache": True}, last)
        layers = [(layer.keys, layer.values) for layer in held.layers]
        return Computed(layers, spans, len(prefix_ids)), logits_B

    def _lent(self, prefix_ids: Ids) -> Any:  # noqa: ANN401 - a transformers cache
        if len(prefix_ids) == 0:
            return None
        key = prefix_ids.tobytes()
        if self._prefix[0] != key:
            self._prefix = (b"", None)
            self._prefix = (key, prefix_cache(self._base, prefix_ids, whole=True))
        return self._prefix[1]

    def _logits(self, inputs: dict[str, Any], places: Tensor | None) -> Tensor:
        """Logits (B x vocabulary, float32) at these places of the only row, or at the last place of every row."""
        if places is not None:
            return self._last.head(self._last.at(inputs, places)).float()
        model = self._base.model
        if not self._last.plain_head:
            logits: Tensor = model(**inputs).logits
            return logits[:, -1].float()
        return self._last.head(model.base_model(**inputs).last_hidden_state[:, -1]).float()

    def _taken(self, rows: Sequence[Writing | None], logits_B: Tensor) -> list[Writing | None]:
        """Put the likeliest token behind every row; None in the place of those that end with it."""
        left: list[Writing | None] = []
        for row, token in zip(rows, logits_B.argmax(1).tolist(), strict=True):
            if row is not None:
                row.written.append(token)
            going = row is not None and not is_done(self._base, row)
            if row is not None and not going:
                self._ended.add(row.number)
                self._done(row)
            left.append(row if going else None)
        return left

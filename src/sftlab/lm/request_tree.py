"""Which forward passes answer a set of requests, so that no prompt is computed twice.

Requests with one context (the choices of a question) are one row: the context, then every continuation as a branch of
its own. Rows whose contexts begin alike (the same worked examples) are computed after that beginning, which is computed
once and lent to all of them as keys and values.

Legend: S = tokens of a row after the shared prefix. Token ids are int32.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]
MIN_PREFIX = 16
"""Tokens below which a common beginning is not worth a pass of its own."""
BRANCH_TOKENS = 256
"""Tokens of continuations that one row reads at most, if its context is not half as long."""
CACHED_COST = 4
"""Cached tokens of the prefix that are counted as one token of a row."""


@dataclass(frozen=True, eq=False)
class Request:
    """Token ids of a continuation and of what stands before it; neither is empty."""

    context_ids: Ids
    continuation_ids: Ids

    @property
    def num_inputs(self) -> int:
        """Positions that a model needs to predict it: all tokens but the last."""
        return len(self.context_ids) + len(self.continuation_ids) - 1


@dataclass(frozen=True, eq=False)
class Branch:
    """A continuation of a row's context; `request` is its place among all requests."""

    request: int
    ids: Ids


@dataclass(frozen=True, eq=False)
class Row:
    """A context and continuations of it. The last token of a continuation is predicted, never read."""

    context_ids: Ids
    branches: tuple[Branch, ...]

    @cached_property
    def length(self) -> int:
        """Tokens that are read: the context and all branches but for their last tokens."""
        return len(self.context_ids) + sum(len(branch.ids) - 1 for branch in self.branches)

    @property
    def forks(self) -> bool:
        """Whether more than one branch is read, so that attention must keep them apart."""
        return sum(len(branch.ids) > 1 for branch in self.branches) > 1


@dataclass(frozen=True, eq=False)
class RowBatch:
    """Rows of one forward pass, after a prefix (maybe empty) that all their contexts begin with."""

    prefix_ids: Ids
    rows: tuple[Row, ...]
    padded: bool = True

    @property
    def num_tokens(self) -> int:
        """Tokens, with padding where rows lie below each other, and the share of what is read from the prefix."""
        share = len(self.prefix_ids) // CACHED_COST
        lengths = [row.length - len(self.prefix_ids) + share for row in self.rows]
        return len(self.rows) * max(lengths) if self.padded else sum(lengths)

    def halves(self) -> tuple[Self, ...]:
        """The same rows in two batches, or the branches of the only row, where these are at least a quarter of it."""
        if len(self.rows) > 1:
            middle = len(self.rows) // 2
            parts = self.rows[:middle], self.rows[middle:]
        else:
            (row,) = self.rows
            middle = len(row.branches) // 2
            parts = (Row(row.context_ids, row.branches[:middle]),), (Row(row.context_ids, row.branches[middle:]),)
            if middle == 0 or max(part[0].length for part in parts) > 3 * row.length // 4:
                return ()
        return tuple(type(self)(self.prefix_ids, part, self.padded) for part in parts)


@dataclass(frozen=True, eq=False)
class RowTokens:
    """A row laid out: ids, positions and branch (0 = context, else 1, 2, ...) of its S tokens, and its labels.

    Label l is token `labels[l]` of request `requests[l]`, predicted from token `predicted_from[l]` of the row.
    """

    ids: Ids
    positions: NDArray[np.int64]
    branch: NDArray[np.int64]
    labels: NDArray[np.int64]
    predicted_from: NDArray[np.int64]
    requests: NDArray[np.int64]


def row_tokens(row: Row, num_prefix: int) -> RowTokens:
    """The tokens of a row after the first `num_prefix` ones of its context."""
    ids, positions, branch = [row.context_ids[num_prefix:]], [np.arange(num_prefix, len(row.context_ids))], []
    branch.append(np.zeros(len(ids[0]), dtype=np.int64))
    last, end = len(ids[0]) - 1, len(ids[0])
    labels, predicted_from, requests = [], [], []
    for number, one in enumerate(row.branches, start=1):
        read = len(one.ids) - 1
        ids.append(one.ids[:read])
        positions.append(np.arange(read) + len(row.context_ids))
        branch.append(np.full(read, number))
        labels.append(one.ids.astype(np.int64))
        predicted_from.append(np.concatenate([[last], np.arange(end, end + read)]))
        requests.append(np.full(len(one.ids), one.request))
        end += read
    return RowTokens(*(np.concatenate(parts) for parts in (ids, positions, branch, labels, predicted_from, requests)))


def attends(tokens: RowTokens) -> NDArray[np.bool_]:
    """S x S: whether a token (row) sees another (column): what came before it in the context and in its own branch."""
    branch = tokens.branch
    visible: NDArray[np.bool_] = np.tril((branch[None, :] == 0) | (branch[None, :] == branch[:, None]))
    return visible


def row_batches(requests: Sequence[Request], *, max_tokens: int, shares: bool, padded: bool = True) -> list[RowBatch]:
    """Batches of at most `max_tokens` (or of one row) that answer all requests, longest rows first.

    Without `shares` every row has at most one branch that is read and no batch has a prefix. Rows that are not `padded`
    lie one behind another.
    """
    rows = [row for row in _rows(requests) for row in ([row] if shares else _apart(row))]
    alone: list[Row] = []
    groups: list[tuple[Ids, list[Row]]] = []
    for group, shared in _groups(rows) if shares else ():
        if shared >= MIN_PREFIX and (len(group) - 1) * shared >= max_tokens // 8:
            groups.append((group[0].context_ids[:shared], group))
        else:
            alone.extend(group)
    groups.append((np.empty(0, dtype=np.int32), alone if shares else rows))
    batches = [list(_filled(prefix, group, max_tokens, padded=padded)) for prefix, group in groups]
    # Batches of one prefix stay together: it is computed when the first of them comes.
    return [batch for group in sorted(batches, key=_longest, reverse=True) for batch in group]


def prompt_groups(prompts: Sequence[Ids]) -> list[tuple[Ids, list[Row]]]:
    """Prompts as rows of one branch each, grouped by a beginning that they share (maybe empty), longest first.

    The branch is the place of the prompt among all.
    """
    unread = np.zeros(1, dtype=np.int32)
    rows = [Row(np.asarray(ids, dtype=np.int32), (Branch(place, unread),)) for place, ids in enumerate(prompts)]
    alone: list[Row] = []
    groups: list[tuple[Ids, list[Row]]] = []
    for group, shared in _groups(sorted(rows, key=lambda row: row.context_ids.tobytes())):
        if shared >= MIN_PREFIX and len(group) > 1:
            groups.append((group[0].context_ids[:shared], group))
        else:
            alone.extend(group)
    groups.append((np.empty(0, dtype=np.int32), alone))
    sorted_groups = [(ids, sorted(group, key=lambda row: row.length, reverse=True)) for ids, group in groups if group]
    return sorted(sorted_groups, key=lambda group: group[1][0].length, reverse=True)


def _rows(requests: Sequence[Request]) -> list[Row]:
    by_context: dict[bytes, list[Branch]] = {}
    for number, request in enumerate(requests):
        assert len(request.context_ids) > 0
        assert len(request.continuation_ids) > 0
        branch = Branch(number, request.continuation_ids)
        by_context.setdefault(request.context_ids.tobytes(), []).append(branch)
    # In the order of their bytes, contexts that begin alike are neighbours.
    return [
        row for key in sorted(by_context) for row in _of_context(np.frombuffer(key, dtype=np.int32), by_context[key])
    ]


def _of_context(context_ids: Ids, branches: Sequence[Branch]) -> Iterator[Row]:
    """A context with all its continuations; with a part of them at a time, where they are many or long.

    Attention is over all pairs of a row's tokens: texts that share nothing but a beginning-of-sequence token would be
    one row of them all.
    """
    most = max(BRANCH_TOKENS, 2 * len(context_ids))
    part: list[Branch] = []
    tokens = 0
    for branch in branches:
        read = len(branch.ids) - 1
        if part and tokens + read > most:
            yield Row(context_ids, tuple(part))
            part, tokens = [], 0
        part.append(branch)
        tokens += read
    yield Row(context_ids, tuple(part))


def _apart(row: Row) -> list[Row]:
    longest_first = sorted(row.branches, key=lambda branch: len(branch.ids), reverse=True)
    short = tuple(branch for branch in longest_first[1:] if len(branch.ids) == 1)
    first = Row(row.context_ids, (longest_first[0], *short))
    return [first, *(Row(row.context_ids, (branch,)) for branch in longest_first[1:] if len(branch.ids) > 1)]


def _groups(rows: Sequence[Row]) -> Iterator[tuple[list[Row], int]]:
    """Neighbours that begin alike, with the number of tokens they share; the last of a context is never shared.

    A row joins where that saves more than it costs the rows before it and keeps from the row after it.
    """
    common = [num_common(one.context_ids, other.context_ids) for one, other in itertools.pairwise(rows)]
    start, shared = 0, 0
    for place in range(len(rows)):
        if place == start:
            shared = len(rows[place].context_ids) - 1
            continue
        with_it = min(shared, common[place - 1], len(rows[place].context_ids) - 1)
        joined_later = max(0, common[place] - with_it) if place + 1 < len(rows) else 0
        members = place - start
        if members * with_it >= (members - 1) * shared + joined_later:
            shared = with_it
        else:
            yield list(rows[start:place]), shared
            start, shared = place, len(rows[place].context_ids) - 1
    if rows:
        yield list(rows[start:]), shared


def num_common(one: Ids, other: Ids) -> int:
    """Tokens with which both begin."""
    length = min(len(one), len(other))
    different = np.flatnonzero(one[:length] != other[:length])
    return int(different[0]) if len(different) else length


def _filled(prefix_ids: Ids, rows: Sequence[Row], max_tokens: int, *, padded: bool) -> Iterator[RowBatch]:
    batch: list[Row] = []
    tokens = 0
    share = len(prefix_ids) // CACHED_COST - len(prefix_ids)
    for row in sorted(rows, key=lambda row: row.length, reverse=True):
        cost = (batch[0] if batch and padded else row).length + share
        if batch and tokens + cost > max_tokens:
            yield RowBatch(prefix_ids, tuple(batch), padded)
            batch, tokens = [], 0
            cost = row.length + share
        batch.append(row)
        tokens += cost
    if batch:
        yield RowBatch(prefix_ids, tuple(batch), padded)


def _longest(batches: Sequence[RowBatch]) -> int:
    return max((batch.rows[0].length for batch in batches), default=0)

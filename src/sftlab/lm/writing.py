"""What is written after a prompt, and where it ends."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from sftlab.lm.base import LoadedBase

STOP_MARGIN = 4
"""Tokens decoded beyond those that a stop text can span: the first decoded one may lose its leading space."""
REPLACED = "\ufffd"
"""What a token decodes to that is a part of a character."""


@dataclass(frozen=True)
class Ending:
    """What a row ends with: an end token, or a stop text."""

    end_ids: frozenset[int]
    stops: tuple[str, ...]

    @cached_property
    def window(self) -> int:
        """Last tokens among which a stop text that was just completed lies whole."""
        return max((len(stop.encode()) for stop in self.stops), default=0) + STOP_MARGIN

    @cached_property
    def last_characters(self) -> str:
        """The characters that stop texts end with."""
        return "".join(sorted({stop[-1] for stop in self.stops}))


@dataclass(eq=False)
class Writing:
    """One prompt and the tokens written after it; `limit` is how many may be."""

    number: int
    prompt_ids: NDArray[np.int64]
    limit: int
    ending: Ending
    written: list[int] = field(default_factory=list)


def is_done(base: LoadedBase, row: Writing) -> bool:
    """Whether the last token ends the answer."""
    ending = row.ending
    if row.written[-1] in ending.end_ids or len(row.written) >= row.limit:
        return True
    if not ending.stops or not _may_complete(base, ending)[row.written[-1]]:
        return False
    tail = _decoded(base, row.written[-ending.window :])
    if not any(stop in tail for stop in ending.stops):
        return False
    whole = _decoded(base, row.written)
    return any(stop in whole for stop in ending.stops)


def text_of(base: LoadedBase, row: Writing) -> str:
    """What was written, cut before the end token and before the first stop text."""
    end = next((place for place, token in enumerate(row.written) if token in row.ending.end_ids), len(row.written))
    text = _decoded(base, row.written[:end])
    return text[: min((found for stop in row.ending.stops if (found := text.find(stop)) >= 0), default=len(text))]


_COMPLETING: "WeakKeyDictionary[LoadedBase, dict[str, NDArray[np.bool_]]]" = WeakKeyDictionary()


def _may_complete(base: LoadedBase, ending: Ending) -> NDArray[np.bool_]:
    """Of every token, whether a stop text may end in it: all others need no look at the text."""
    known = _COMPLETING.setdefault(base, {})
    wanted = ending.last_characters
    if wanted not in known:
        size = max(len(base.tokenizer), int(base.model.get_output_embeddings().weight.shape[0]))
        if " " in wanted:
            # Decoders drop the space that a lone token begins with.
            known[wanted] = np.ones(size, dtype=np.bool_)
        else:
            texts = base.tokenizer.batch_decode([[token] for token in range(len(base.tokenizer))])
            may = [any(mark in text for mark in wanted) or REPLACED in text for text in texts]
            known[wanted] = np.array(may + [True] * (size - len(may)), dtype=np.bool_)
    return known[wanted]


def _decoded(base: LoadedBase, ids: Sequence[int]) -> str:
    text: str = base.tokenizer.decode(ids, skip_special_tokens=True)
    return text

"""Texts that nearly equal an earlier one: MinHash to find candidates, exact Jaccard similarity to decide.

Legend: N = texts, H = hash functions.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sftlab.data.contamination import WORD

SHINGLE = 3
HASHES = 64
ROWS = 4
"""Hashes a band: texts of similarity s are compared with probability 1 - (1 - s^4)^16, at 0.8 more than 0.999."""
THRESHOLD = 0.8
FEWEST_SHINGLES = 5
PRIME = np.uint64((1 << 31) - 1)
COMPARED = 8
"""Candidates of a text that are compared: the first ones of each band."""


@dataclass(frozen=True)
class NearDuplicate:
    """The place of a text, that of the other one it nearly equals, and their Jaccard similarity."""

    place: int
    other: int
    similarity: float


def near_duplicates(texts: Sequence[str], others: Sequence[str] | None = None) -> tuple[NearDuplicate, ...]:
    """Texts that nearly equal an earlier one, or, where `others` are given, one of these; each at most once.

    Nearly equal are texts of which four in five runs of three words are common to both (Jaccard similarity at least
    0.8; Broder 1997); shorter texts than seven words are not compared.
    """
    known = [] if others is None else [_shingles(text) for text in others]
    shingles = [_shingles(text) for text in texts]
    buckets: dict[tuple[int, bytes], list[int]] = {}
    for place, each in enumerate(known):
        for key in _bands(each):
            buckets.setdefault(key, []).append(place)
    sets = known if others is not None else shingles
    found = []
    for place, each in enumerate(shingles):
        keys = list(_bands(each))
        candidates = dict.fromkeys(other for key in keys for other in buckets.get(key, ())[:COMPARED])
        best = max(((_jaccard(each, sets[other]), -other) for other in candidates), default=(0.0, 0))
        if best[0] >= THRESHOLD:
            found.append(NearDuplicate(place, -best[1], best[0]))
        if others is None:
            for key in keys:
                buckets.setdefault(key, []).append(place)
    return tuple(found)


def _shingles(text: str) -> NDArray[np.uint64]:
    """Distinct hashes of all runs of three words, in order of size."""
    words = WORD.findall(text.lower())
    runs = {" ".join(words[start : start + SHINGLE]) for start in range(len(words) - SHINGLE + 1)}
    hashes = np.fromiter((zlib.crc32(run.encode()) for run in runs), dtype=np.uint64, count=len(runs))
    return np.unique(hashes)


def _bands(shingles: NDArray[np.uint64]) -> Iterator[tuple[int, bytes]]:
    if len(shingles) < FEWEST_SHINGLES:
        return
    minima_H = ((shingles[:, None] % PRIME * _FACTORS + _OFFSETS) % PRIME).min(axis=0)
    for start in range(0, HASHES, ROWS):
        yield start, minima_H[start : start + ROWS].tobytes()


def _jaccard(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)


_GENERATOR = np.random.Generator(np.random.PCG64(20_240_229))
_FACTORS = _GENERATOR.integers(1, int(PRIME), HASHES, dtype=np.uint64)
_OFFSETS = _GENERATOR.integers(0, int(PRIME), HASHES, dtype=np.uint64)

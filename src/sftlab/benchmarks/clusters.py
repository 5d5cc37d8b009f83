"""Which items hang together: those that share a passage, and are therefore not independent draws."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence

from sftlab.benchmarks.rows import Row
from sftlab.errors import BenchmarkError
from sftlab.study.spelling import nearest

LEAST_BYTES = 80
"""UTF-8 bytes of a text that two rows do not have in common by chance."""
SHARED_START = 256
"""Characters: a passage that begins longer texts; what questions of one kind begin with is mostly shorter."""
DIGITS = 16


def clusters(rows: Sequence[Row], column: str | None = None) -> list[str | None]:
    """Of each row a name that it shares with the rows it hangs together with; None for a row that stands alone.

    Rows hang together where they have the same value of `column`; where none is named, where a text of at least 80
    bytes is in the same column of both, or texts there begin with the same 256 characters: then the name is a digest of
    what is shared, the same in every split and subject. Characters that all rows begin with (an instruction) do not
    count. Rows that share different texts with one another are one cluster. Give it all rows of a split, whatever
    part of them is asked. Raises BenchmarkError for a column that the rows do not have.
    """
    if column is not None:
        return _repeated([_of_column(row, column) for row in rows])
    links = [set(_shareable(row)) for row in _without_common_start(rows)]
    times = Counter(link for of_row in links for link in of_row)
    return _joined([sorted(link for link in of_row if times[link] > 1) for of_row in links])


def _of_column(row: Row, column: str) -> str | None:
    if column not in row:
        raise BenchmarkError(f"no column {column!r} for `cluster_by`{nearest(column, list(row))}")
    return None if row[column] is None else str(row[column])


def _repeated(names: list[str | None]) -> list[str | None]:
    times = Counter(names)
    return [name if times[name] > 1 else None for name in names]


def _without_common_start(rows: Sequence[Row]) -> Iterator[dict[str, str]]:
    texts = [{name: value.strip() for name, value in row.items() if isinstance(value, str)} for row in rows]
    names = {name for of_row in texts for name in of_row}
    starts = {name: _common_start([of_row.get(name, "") for of_row in texts]) for name in names}
    for of_row in texts:
        yield {name: text[starts[name] :] for name, text in of_row.items()}


def _common_start(texts: Sequence[str]) -> int:
    """How many characters all texts begin with."""
    first, last = min(texts), max(texts)
    return next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))


def _shareable(texts: dict[str, str]) -> Iterator[str]:
    for name, text in texts.items():
        if len(text.encode(errors="surrogatepass")) >= LEAST_BYTES:
            yield _digest(name, text)
        if len(text) > SHARED_START:
            yield _digest(name, text[:SHARED_START])


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode(errors="surrogatepass")).hexdigest()[:DIGITS]


def _joined(links: Sequence[list[str]]) -> list[str | None]:
    """The least link of all that a row is connected with, directly or through other rows."""
    parent: dict[str, str] = {}

    def root(link: str) -> str:
        while parent.setdefault(link, link) != link:
            parent[link] = parent[parent[link]]
            link = parent[link]
        return link

    for of_row in links:
        for link in of_row[1:]:
            low, high = sorted((root(of_row[0]), root(link)))
            parent[high] = low
    return [root(of_row[0]) if of_row else None for of_row in links]

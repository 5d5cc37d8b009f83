"""Reads the texts by which models are compared."""

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from sftlab.data.formats import rows_of
from sftlab.data.formats.source import open_source
from sftlab.data.record import UnusableError
from sftlab.errors import DataError
from sftlab.study.declaration import ProbeTexts
from sftlab.study.identity import digest

FEWEST = 3


@dataclass(frozen=True)
class ProbeText:
    """One text, the same bytes for every model; `name` says which, `domain` and `language` are null where unknown."""

    name: str
    text: str
    domain: str | None = None
    language: str | None = None


def probe_texts(given: ProbeTexts | None) -> tuple[ProbeText, ...]:
    """The texts of a file's column, or the shipped ones where none is given.

    Raises DataError where the file cannot be read, has no such column, holds an empty text, or fewer than three.
    """
    return _shipped() if given is None else _of_file(given)


def texts_digest(texts: tuple[ProbeText, ...]) -> str:
    """Digest of what models are asked: the texts in their order, whatever file they came from."""
    return digest([text.text for text in texts])


@lru_cache(maxsize=1)
def _shipped() -> tuple[ProbeText, ...]:
    found: list[ProbeText] = []
    domain = language = ""
    for line in files("sftlab.data.probe").joinpath("texts.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            domain, _, language = line.removeprefix("# ").rpartition(" ")
        elif line:
            found.append(ProbeText(f"{domain}-{language}-{len(found)}", line, domain, language))
    return tuple(found)


def _of_file(given: ProbeTexts) -> tuple[ProbeText, ...]:
    where = f"the probe texts in {given.data}"
    found: list[ProbeText] = []
    for index, row in enumerate(rows_of(open_source(given.data, where=where, columns=None))):
        if isinstance(row, UnusableError):
            raise DataError(f"{where}: row {index} cannot be read: {row.reason}")
        text = row.get(given.column)
        if not isinstance(text, str) or not text:
            got = f"the columns {', '.join(map(str, row))}" if given.column not in row else "no text there"
            raise DataError(f"{where}: row {index} has {got}, and needs a text in the column {given.column!r}")
        found.append(ProbeText(str(index), text))
    if len(found) < FEWEST:
        raise DataError(f"{where}: {len(found)} texts, and at least {FEWEST} are needed to compare models")
    return tuple(found)

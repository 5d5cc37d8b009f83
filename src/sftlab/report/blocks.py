"""What a section of the page is made of; the template draws each kind of block."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

Figure = Mapping[str, object]
"""A plotly figure as plain data: `data` (traces) and `layout`; the page's theme adds the colours of text and grid."""


@dataclass(frozen=True)
class Prose:
    """Sentences, one paragraph each; the headline is what the page is read for."""

    kind: ClassVar[str] = "prose"
    sentences: tuple[str, ...]
    headline: bool = False


@dataclass(frozen=True)
class Variant:
    """One figure with what it shows: `found` are the sentences that stand under it, `detail` says the label in full."""

    label: str
    figure: Figure
    found: tuple[str, ...]
    detail: str = ""

    @property
    def name(self) -> str:
        """The label with its detail."""
        return f"{self.label} ({self.detail})" if self.detail else self.label


@dataclass(frozen=True)
class Panel:
    """Figures of one kind: one at a time behind a selector, or all of them side by side in a grid."""

    kind: ClassVar[str] = "panel"
    key: str
    title: str
    selector: str
    variants: tuple[Variant, ...]
    shown: Literal["select", "grid"] = "select"
    note: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table; the two ends of an `interval` are stored in one cell as a pair.

    A column with `facet` gets a list of its values to choose from.
    """

    name: str
    title: str
    kind: Literal["text", "number", "integer", "interval"] = "text"
    facet: bool = False


Cell = str | int | float | bool | list[float | None] | None


@dataclass(frozen=True)
class DataTable:
    """Rows that the reader can sort, filter and save as csv, `page_rows` of them in sight at a time."""

    kind: ClassVar[str] = "table"
    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    file_name: str
    note: str = ""
    page_rows: int = 10


@dataclass(frozen=True)
class Definition:
    """A term and what it means on this page."""

    term: str
    meaning: str


@dataclass(frozen=True)
class Glossary:
    """Terms explained."""

    kind: ClassVar[str] = "glossary"
    entries: tuple[Definition, ...]


Block = Prose | Panel | DataTable | Glossary


@dataclass(frozen=True)
class Section:
    """One part of the page, with its entry in the navigation."""

    key: str
    title: str
    question: str
    blocks: tuple[Block, ...]

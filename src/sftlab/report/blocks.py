"""What a section of the page is made of; the template draws each kind of block."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

Figure = Mapping[str, object]
"""A plotly figure as plain data: `data` (traces) and `layout`; the page's theme adds the colours of text and grid.

`meta` says what the reader's filters act on: that of a trace maps a facet to its level, or to a level for each point;
that of the layout maps an axis with named places to its facet and the names of its places.
"""

SIDE_BY_SIDE = 9
"""Figures that stand side by side; of more, one at a time is shown unless the reader asks for all."""


@dataclass(frozen=True)
class Prose:
    """Sentences, one paragraph each; the headline is what the page is read for."""

    kind: ClassVar[str] = "prose"
    sentences: tuple[str, ...]
    headline: bool = False


@dataclass(frozen=True)
class Variant:
    """One figure with what it shows: `found` are the sentences that stand under it, `detail` says the label in full.

    `facets` names what the whole figure is about, such as its benchmark: filters hide it where another is chosen.
    `caveats` qualify the sentences; those that all figures of a panel share stand once above them.
    """

    label: str
    figure: Figure
    found: tuple[str, ...]
    detail: str = ""
    facets: Mapping[str, str] = field(default_factory=dict)
    caveats: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The label with its detail."""
        return f"{self.label} ({self.detail})" if self.detail else self.label


@dataclass(frozen=True)
class Panel:
    """Figures of one kind: one at a time behind a selector, or in a grid side by side while they are few."""

    kind: ClassVar[str] = "panel"
    key: str
    title: str
    selector: str
    variants: tuple[Variant, ...]
    shown: Literal["select", "grid"] = "select"
    note: str = ""

    @property
    def shared_caveats(self) -> tuple[str, ...]:
        """The caveats of every figure of several."""
        if len(self.variants) < 2:
            return ()
        return tuple(one for one in self.variants[0].caveats if all(one in other.caveats for other in self.variants))

    @property
    def arrangement(self) -> Literal["select", "grid"]:
        """How the figures stand at first: too many for a grid are shown one at a time."""
        return "grid" if self.shown == "grid" and len(self.variants) <= SIDE_BY_SIDE else "select"


@dataclass(frozen=True)
class Column:
    """A column of a table; the two ends of an `interval` are stored in one cell as a pair.

    A column with `facet` gets a list of its values to choose from. The page's filters act on a column by its name, or
    by the facet in `follows`. One that is not `shown` is there for them, and in the csv.
    """

    name: str
    title: str
    kind: Literal["text", "number", "integer", "interval"] = "text"
    facet: bool = False
    follows: str = ""
    shown: bool = True


SCORER = Column("scorer", "Scorer", shown=False)
"""By what scorer a row came about, for the filters alone."""

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


@dataclass(frozen=True)
class Leaderboard:
    """Where the reader sets a goal and floors, and models or recipes are ranked in the browser."""

    kind: ClassVar[str] = "leaderboard"
    key: str
    title: str
    note: str = ""


@dataclass(frozen=True)
class CellPicker:
    """Opens what is known of the runs of one base and dataset; what a click on a map does, for the keyboard."""

    kind: ClassVar[str] = "cells"
    bases: tuple[str, ...]
    datasets: tuple[str, ...]
    benchmarks: tuple[str, ...]


Block = Prose | Panel | DataTable | Glossary | Leaderboard | CellPicker


@dataclass(frozen=True)
class Section:
    """One part of the page, with its entry in the navigation."""

    key: str
    title: str
    question: str
    blocks: tuple[Block, ...]

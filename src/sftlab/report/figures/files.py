"""The figures of the page as files, drawn by matplotlib from the same plain data, each beside that data as csv."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftlab.errors import StoreError
from sftlab.report.blocks import Figure, Panel, Section
from sftlab.report.figures.data import data_rows
from sftlab.report.figures.matplotlib_drawing import drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawn

FORMATS = ("svg", "pdf", "png")
PNG_DOTS_PER_INCH = 160
COLUMNS = ("series", "x", "y", "value", "low", "high", "note")
NAME_LENGTH = 100
FIXED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
"""No dates: the same results give the same files."""
SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "sftlab",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.size": 9,
    "text.parse_math": False,
}
"""Text stays text in svg and pdf, and a dollar in a name is a dollar."""


@dataclass(frozen=True)
class NamedFigure:
    """A figure of the page with the name of its files and its title."""

    name: str
    title: str
    figure: Figure


def named_figures(sections: Sequence[Section]) -> Iterator[NamedFigure]:
    """Every figure of the page in reading order; names are unique and of letters, digits and dashes."""
    taken: set[str] = set()
    for section in sections:
        for block in section.blocks:
            if not isinstance(block, Panel):
                continue
            for variant in block.variants:
                name = _unique(f"{section.key}-{block.key}-{variant.name}", taken)
                yield NamedFigure(name, f"{block.title}: {variant.name}", variant.figure)


def write_figures(sections: Sequence[Section], folder: Path) -> list[Path]:
    """Write each figure as svg, pdf and png with its data as csv, and return the paths of the csv files.

    Raises StoreError where the folder cannot be written.
    """
    from matplotlib import rc_context

    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with rc_context(SETTINGS):
            for one in named_figures(sections):
                _write_pictures(drawn(one.figure, one.title), folder / one.name)
                written.append(_write_data(one.figure, folder / f"{one.name}.csv"))
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}") from error
    return written


def _write_pictures(picture: "Drawn", path: Path) -> None:
    for ending in FORMATS:
        target = path.with_name(f"{path.name}.{ending}")
        picture.savefig(target, format=ending, dpi=PNG_DOTS_PER_INCH, metadata=FIXED[ending])


def _write_data(figure: Figure, path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(COLUMNS)
        lines.writerows(tuple(getattr(row, column) for column in COLUMNS) for row in data_rows(figure))
    return path


def _unique(text: str, taken: set[str]) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:NAME_LENGTH]
    name, count = slug, 1
    while name in taken:
        count += 1
        name = f"{slug}-{count}"
    taken.add(name)
    return name

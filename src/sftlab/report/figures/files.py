"""The figures of the page as files, drawn by matplotlib from the same plain data, each beside that data as csv."""

import csv
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from sftlab.errors import StoreError
from sftlab.report.blocks import Figure, Panel, Section
from sftlab.report.figures.data import data_rows
from sftlab.report.figures.matplotlib_drawing import drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawn

MANY = 16
"""From so many figures on they are drawn by one process per core: starting them takes as long as drawing a few."""
Format = Literal["svg", "pdf", "png"]
FORMATS: tuple[Format, ...] = get_args(Format)
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


def write_figures(
    sections: Sequence[Section],
    folder: Path,
    *,
    formats: Sequence[Format] = FORMATS,
    on_written: Callable[[int, int], None] = lambda _done, _every: None,
) -> list[Path]:
    """Write each figure in these formats with its data as csv, and return the paths of the csv files.

    `on_written` hears how many of how many stand. Raises StoreError where the folder cannot be written.
    """
    figures = tuple(named_figures(sections))
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in _each_written(figures, folder, formats):
            written.append(path)
            on_written(len(written), len(figures))
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}") from error
    return written


def _each_written(figures: Sequence[NamedFigure], folder: Path, formats: Sequence[Format]) -> Iterator[Path]:
    from concurrent.futures import ProcessPoolExecutor
    from functools import partial
    from multiprocessing import get_context

    write = partial(write_figure, folder=folder, formats=formats)
    cores = len(os.sched_getaffinity(0))
    if cores == 1 or len(figures) < MANY:
        yield from map(write, figures)
        return
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        try:
            yield from pool.map(write, figures, chunksize=2)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def write_figure(one: NamedFigure, folder: Path, *, formats: Sequence[Format] = FORMATS) -> Path:
    """Write one figure into a folder that is there, in these formats and as csv, and return the path of the csv."""
    from matplotlib import rc_context

    with rc_context(SETTINGS):
        _write_pictures(drawn(one.figure, one.title), folder / one.name, formats)
    return _write_data(one.figure, folder / f"{one.name}.csv")


def _write_pictures(picture: "Drawn", path: Path, formats: Sequence[Format]) -> None:
    for ending in formats:
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

"""One colour per base and one per dataset, the same on every figure of a page."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

DATASET_COLOURS = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9",
    "#8D6E46", "#7A68C9", "#8FA31E", "#C2414B", "#3E9C9C", "#B26FD1",
)  # fmt: skip
"""Okabe and Ito's colours without black and yellow (each vanishes on one ground), then six of like lightness."""

BASE_COLOURS = (
    "#4477AA", "#EE6677", "#228833", "#CCA520", "#2FA8CF", "#AA3377",
    "#7F7F7F", "#D9772B", "#6A5ACD", "#5C8A3A", "#B04A5A", "#3B8686",
)  # fmt: skip
"""Tol's bright scheme, its yellow darkened for white ground, then six of like lightness."""

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "triangle-down", "star", "pentagon", "hexagram")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
NEUTRAL = "#8A8F98"


@dataclass(frozen=True)
class Palette:
    """Order of the names of a study, and so the colour, marker symbol and dash of each.

    Symbols run with another period than colours, so that names beyond the twelfth still look different.
    """

    bases: tuple[str, ...]
    datasets: tuple[str, ...]
    methods: tuple[str, ...]

    def base_colour(self, base: str) -> str:
        """Colour of a base; neutral for one that is not of this study."""
        return _of(self.bases, base, BASE_COLOURS, NEUTRAL)

    def base_symbol(self, base: str) -> str:
        """Marker symbol of a base."""
        return _of(self.bases, base, SYMBOLS, SYMBOLS[0])

    def dataset_colour(self, dataset: str) -> str:
        """Colour of a dataset; neutral for the base itself (dataset `none`)."""
        return _of(self.datasets, dataset, DATASET_COLOURS, NEUTRAL)

    def dataset_symbol(self, dataset: str) -> str:
        """Marker symbol of a dataset."""
        return _of(self.datasets, dataset, SYMBOLS, SYMBOLS[0])

    def method_colour(self, method: str) -> str:
        """Colour of a method, where neither bases nor datasets are told apart."""
        return _of(self.methods, method, DATASET_COLOURS[::-1], NEUTRAL)

    def method_symbol(self, method: str) -> str:
        """Marker symbol of a method."""
        return _of(self.methods, method, SYMBOLS, SYMBOLS[0])

    def method_dash(self, method: str) -> str:
        """Line dash of a method."""
        return _of(self.methods, method, DASHES, DASHES[0])


def palette(tables: Mapping[str, pl.DataFrame]) -> Palette:
    """The palette of a study: names in the order in which the tables `runs` and then `scores` bring them."""
    return Palette(
        bases=_names(tables, "base"),
        datasets=tuple(name for name in _names(tables, "dataset") if name != "none"),
        methods=_names(tables, "method"),
    )


def _names(tables: Mapping[str, pl.DataFrame], column: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for table in ("runs", "scores"):
        frame = tables.get(table)
        if frame is not None and column in frame.columns:
            found.update(dict.fromkeys(frame[column].drop_nulls().unique(maintain_order=True).to_list()))
    return tuple(found)


def _of(names: tuple[str, ...], name: str, choices: Iterable[str], otherwise: str) -> str:
    options = tuple(choices)
    return options[names.index(name) % len(options)] if name in names else otherwise

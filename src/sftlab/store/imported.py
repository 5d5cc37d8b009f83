"""Results made elsewhere, kept as tables: a folder with `imported.json` and one parquet file a table."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from sftlab.errors import StoreError
from sftlab.store.store import write_atomically

INDEX = "imported.json"
VERSION = 1


@dataclass(frozen=True, eq=False)
class ImportedStudy:
    """A study whose results were made elsewhere.

    `tables` has contract tables by name, with their columns; `sources` what every mixture of datasets is made of;
    `origin` where the results come from (kind of import, file, SHA-256 digest); `notes` what could not be taken over,
    in sentences.
    """

    name: str
    tables: Mapping[str, pl.DataFrame]
    sources: Mapping[str, frozenset[str]] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def write_imported_study(study: ImportedStudy, folder: Path) -> None:
    """Write a study into a folder, its index last, so that a folder with an index is whole.

    Raises StoreError where the folder holds anything but an import that it replaces.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not is_imported(folder)):
        raise StoreError(f"{folder} is not empty and not an import: name another place with `--to`")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / INDEX).unlink(missing_ok=True)
        for name, table in study.tables.items():
            table.write_parquet(folder / f"{name}.parquet")
        index = {
            "version": VERSION,
            "name": study.name,
            "origin": dict(study.origin),
            "notes": list(study.notes),
            "sources": {name: sorted(parts) for name, parts in study.sources.items()},
            "tables": sorted(study.tables),
        }
        write_atomically(folder / INDEX, json.dumps(index, indent=1, ensure_ascii=False).encode())
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}") from error


def is_imported(path: Path) -> bool:
    """Whether a path is an imported study: its folder, or the index in it."""
    return (path / INDEX).is_file() or (path.name == INDEX and path.is_file())


def read_imported_study(path: Path) -> ImportedStudy:
    """The study that `write_imported_study` wrote. Raises StoreError where it cannot be read."""
    folder = path if path.is_dir() else path.parent
    try:
        index = json.loads((folder / INDEX).read_text())
        if index["version"] != VERSION:
            raise StoreError(f"{folder / INDEX} is of version {index['version']}, and this sftlab reads {VERSION}")
        return ImportedStudy(
            name=index["name"],
            tables={name: pl.read_parquet(folder / f"{name}.parquet") for name in index["tables"]},
            sources={name: frozenset(parts) for name, parts in index["sources"].items()},
            origin=index["origin"],
            notes=tuple(index["notes"]),
        )
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise StoreError(f"{folder} is no import that can be read: {error}; import it again") from error

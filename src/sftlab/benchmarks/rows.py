"""Rows of a local data file: json, json lines, csv, tsv, parquet, and these compressed with gzip."""

import gzip
import io
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from sftlab.errors import BenchmarkError

Row = dict[str, Any]
Format = Literal["json", "csv", "tsv", "parquet"]
FORMATS: dict[str, Format] = {
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}


@dataclass(frozen=True)
class Layout:
    """How the rows lie in a file.

    `columns` names the columns of a csv or tsv file without a header line; `typed` reads numbers in such files as
    numbers, otherwise every cell is text; `field` is the key under which a json object holds its rows.
    """

    format: Format
    columns: tuple[str, ...] | None = None
    delimiter: str | None = None
    field: str | None = None
    typed: bool = False


def file_format(path: Path) -> Format:
    """The format that a file's name says it has. Raises BenchmarkError for a name that says none."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    found = FORMATS.get(suffixes[-1]) if suffixes else None
    if found is None:
        raise BenchmarkError(f"{path} is of no known kind; legal: {', '.join(FORMATS)}, each also with .gz")
    return found


def read_rows(path: Path, layout: Layout) -> list[Row]:
    """All rows of a file, each with every column of the file; a cell that a row does not have is None.

    Raises BenchmarkError where the file is missing, cannot be decoded, or holds no rows.
    """
    content = _content(path)
    try:
        rows = _parse(content, layout, path)
    except UnicodeDecodeError as error:
        raise BenchmarkError(f"{path} is not UTF-8 text: byte {error.start} cannot be decoded") from error
    except RecursionError as error:
        raise BenchmarkError(f"{path} is nested too deeply to be read as rows") from error
    except pl.exceptions.PolarsError as error:
        reason = str(error).strip().splitlines()[0]
        raise BenchmarkError(f"{path} cannot be read as {layout.format}: {reason}") from error
    if not rows:
        raise BenchmarkError(f"{path} holds no rows")
    return rows


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix.lower() == ".gz" else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BenchmarkError(f"{path} is not a whole gzip file: {error}") from error
    except OSError as error:
        raise BenchmarkError(f"the benchmark file {path} cannot be read: {error.strerror}") from error


def _parse(content: bytes, layout: Layout, path: Path) -> list[Row]:
    if not content.strip():
        return []
    if layout.format == "parquet":
        return pl.read_parquet(io.BytesIO(content)).to_dicts()
    if layout.format == "json":
        return _same_columns(_json_rows(content.decode("utf-8-sig"), layout.field, path))
    frame = pl.read_csv(
        io.BytesIO(content),
        has_header=layout.columns is None,
        separator=layout.delimiter or ("\t" if layout.format == "tsv" else ","),
        infer_schema=layout.typed,
        infer_schema_length=None,
    )
    if layout.columns is not None:
        if len(layout.columns) != frame.width:
            raise BenchmarkError(
                f"{path} has {frame.width} columns where {len(layout.columns)} are named: {', '.join(layout.columns)}"
            )
        frame.columns = list(layout.columns)
    return frame.to_dicts()


def _json_rows(text: str, field: str | None, path: Path) -> list[object]:
    if text.lstrip()[:1] == "[" or field is not None:
        return _json_list(text, field, path)
    rows: list[object] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise BenchmarkError(
                f"{path}, line {number} is not json ({error}); legal: one object a line, or one list of objects"
            ) from error
    return rows


def _json_list(text: str, field: str | None, path: Path) -> list[object]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BenchmarkError(f"{path} is not json: {error}") from error
    if field is not None:
        value = value.get(field) if isinstance(value, dict) else None
    if not isinstance(value, list):
        raise BenchmarkError(f"{path} holds no list of rows{f' under {field!r}' if field else ''}")
    return value


def _same_columns(rows: list[object]) -> list[Row]:
    checked: list[Row] = []
    columns: dict[str, None] = {}
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise BenchmarkError(f"record {number} has no named columns, it is of type {type(row).__name__}")
        columns.update(dict.fromkeys(row))
        checked.append(row)
    return [row if len(row) == len(columns) else {**dict.fromkeys(columns), **row} for row in checked]

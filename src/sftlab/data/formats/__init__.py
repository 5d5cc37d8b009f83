"""The file formats that datasets are read from; a new format is a file and a line here."""

from collections.abc import Callable, Mapping

from sftlab.data.formats.delimited import read_csv, read_tsv
from sftlab.data.formats.json_text import read_json, read_json_lines
from sftlab.data.formats.parquet import PARQUET_MAGIC, read_parquet
from sftlab.data.formats.source import Source
from sftlab.data.record import Rows
from sftlab.errors import DataError

FORMATS: Mapping[str, Callable[[Source], Rows]] = {
    ".json": read_json,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
}
DELIMITED = (".csv", ".tsv")


def rows_of(source: Source) -> Rows:
    """All rows of a file, usable or not. Raises DataError when the format is unknown or the whole file unreadable."""
    if source.columns is not None and source.suffix not in DELIMITED:
        raise DataError(f"{source.where} has named columns: `columns` is for csv and tsv files without a header line")
    if source.content.startswith(PARQUET_MAGIC):
        return read_parquet(source)
    if source.suffix not in FORMATS:
        got = f"a {source.suffix} file" if source.suffix else "a file without a suffix"
        raise DataError(f"{source.where} is {got}: legal are {', '.join(FORMATS)}, each optionally with .gz")
    return FORMATS[source.suffix](source)

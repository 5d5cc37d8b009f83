"""Comma- and tab-separated values, with or without a header line."""

import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Sequence

from sftlab.data.formats.source import Source, text_of
from sftlab.data.record import Record, Rows, UnusableError, excerpt
from sftlab.errors import DataError

Line = list[str] | UnusableError

ESCAPED_LINE_BREAK = re.compile(
    r"\\n(?!(?:abla|eq|eg|ot|otin|mid|leq|geq|subseteq|parallel|ewline|ewcommand|ormalsize)\b)"
)


def read_csv(source: Source) -> Rows:
    """Rows of a comma-separated file, quoted as RFC 4180 has it."""
    return _rows(_quoted(text_of(source), ","), source)


def read_tsv(source: Source) -> Rows:
    r"""Rows of a tab-separated file.

    Some writers quote cells as in csv and some never do, so the reading that breaks fewer rows is taken. A line break
    within a cell is usually written `\n`, and read so here unless it begins a LaTeX command such as `\neq`.
    """
    text = text_of(source)
    lines = _quoted(text, "\t")
    if _num_broken(lines):
        literal: list[Line] = [line.rstrip("\r").split("\t") for line in text.split("\n") if line.strip("\r")]
        lines = min(lines, literal, key=_num_broken)
    return _rows([_with_line_breaks(line) for line in lines], source)


def _with_line_breaks(line: Line) -> Line:
    return line if isinstance(line, UnusableError) else [ESCAPED_LINE_BREAK.sub("\n", cell) for cell in line]


def _quoted(text: str, delimiter: str) -> list[Line]:
    """Lines as cells. A quote that is never closed swallows the rest of the file: one broken row that says so."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        lines: list[Line] = []
        while True:
            started = reader.line_num
            try:
                cells = next(reader)
            except StopIteration:
                return lines
            except csv.Error as error:
                lines.append(UnusableError(_fault(error, started, reader.line_num), f"line {started + 1}"))
            else:
                if cells:
                    lines.append(cells)
    finally:
        csv.field_size_limit(limit)


def _fault(error: csv.Error, started: int, ended: int) -> str:
    if "unexpected end of data" in str(error):
        return f"a quote opened in line {started + 1} is never closed: {ended - started} lines are lost"
    return "text after a closing quote: a quote within a quoted cell is written twice"


def _num_broken(lines: Sequence[Line]) -> int:
    """Rows that cannot be read, or that have another width than most."""
    widths = Counter(len(line) for line in lines if not isinstance(line, UnusableError))
    return len(lines) - max(widths.values(), default=0)


def _rows(lines: list[Line], source: Source) -> Rows:
    header, body = _header(lines, source)
    rows: Rows = []
    for line in body:
        if isinstance(line, UnusableError):
            rows.append(line)
        elif len(line) != len(header):
            rows.append(UnusableError(f"{len(line)} cells where {len(header)} columns are", ", ".join(line[:8])))
        else:
            record: Record = dict(zip(header, line, strict=True))
            rows.append(record)
    return rows


def _header(lines: list[Line], source: Source) -> tuple[Sequence[str], list[Line]]:
    """Names of the columns, and the lines that are rows."""
    first = lines[0]
    if isinstance(first, UnusableError):
        raise DataError(f"{source.where} cannot be read from its first line on: {first.reason}")
    stripped = [cell.strip() for cell in first]
    if source.columns is not None:
        return source.columns, lines[1:] if stripped == list(source.columns) else lines
    twice = [name for name, count in Counter(stripped).items() if count > 1 and name]
    if twice:
        raise DataError(
            f"{source.where} has two columns named {excerpt(twice[0])!r} in its first line: name each once, or, "
            "if that line is no header, write `columns: [...]` with a name for each"
        )
    return stripped, lines[1:]

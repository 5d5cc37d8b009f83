"""Reads any supported source into examples, and says of every other row why it is not one."""

from collections import Counter
from collections.abc import Sequence

from sftlab.data.conversation import check_text, learnable_turns
from sftlab.data.example import BrokenRow, Dataset, Example
from sftlab.data.formats import DELIMITED, rows_of
from sftlab.data.formats.source import Source, open_source
from sftlab.data.hub import hub_rows
from sftlab.data.record import Record, Rows, UnusableError, excerpt
from sftlab.data.shapes import DECIDING_ROWS, SHAPES, recognise
from sftlab.data.shapes.explicit import explicit_shape, named_columns, with_system
from sftlab.data.shapes.shape import Shape
from sftlab.errors import DataError
from sftlab.study.declaration import DatasetRef

COLUMNS_SHOWN = 12
LONGEST_COLUMN = 40
REASONS_SHOWN = 3


def read_dataset(ref: DatasetRef, *, name: str, from_flags: bool = False) -> Dataset:
    """All usable examples of a source, in its order, and the rows that were not usable.

    The shape is the one that the study's columns spell out, or else that of most of the first rows; rows of another
    shape are broken. Texts are kept as they are: nothing is stripped, normalised or cut. Raises DataError when the
    source cannot be read at all, when its columns are not understood, or when no row is usable; `from_flags` words its
    advice for the command line's flags instead of a study file's fields.
    """
    where = f"the dataset {name} ({ref.path or ref.hub})"
    explicit = explicit_shape(ref, where)
    if ref.path is not None:
        source = open_source(ref.path, where=where, columns=ref.columns)
        rows = rows_of(source)
    elif ref.columns is not None:
        raise DataError(f"{where} has named columns: `columns` is for csv and tsv files without a header line")
    else:
        source, rows = Source(where, "", b""), hub_rows(ref, where)
    if not rows:
        raise DataError(f"{where} holds no rows")
    records = [row for row in rows if not isinstance(row, UnusableError)]
    if not records:
        raise DataError(_nothing_usable(where, _broken(rows)))
    _check_named_columns(ref, records, where)
    shape = explicit or recognise(records)
    if shape is None:
        rows = [row if isinstance(row, UnusableError) else _folded(row) for row in rows]
        shape = recognise([row for row in rows if not isinstance(row, UnusableError)])
    if shape is None:
        raise DataError(_not_recognised(records[0], source, from_flags=from_flags))
    return _dataset(rows, with_system(shape, ref.system) if ref.system else shape, ref, name=name, where=where)


def _dataset(rows: Rows, shape: Shape, ref: DatasetRef, *, name: str, where: str) -> Dataset:
    examples: list[Example] = []
    broken: list[BrokenRow] = []
    for index, row in enumerate(rows):
        try:
            if isinstance(row, UnusableError):
                raise row
            examples.append(_example(row, index, shape, ref))
        except UnusableError as unusable:
            content = row if unusable.content is None and not isinstance(row, UnusableError) else unusable.content
            broken.append(BrokenRow(index, unusable.reason, excerpt(content)))
    if not examples:
        raise DataError(_nothing_usable(where, broken))
    return Dataset(shape.name, tuple(examples), tuple(broken), name)


def _example(record: Record, index: int, shape: Shape, ref: DatasetRef) -> Example:
    if not shape.fits(record):
        raise UnusableError(f"not of the shape of the first rows: {shape.columns}")
    turns = shape.turns(record)
    kept = tuple(turns) if shape.plain else learnable_turns(turns, keep=ref.turns)
    check_text(kept)
    example = Example(kept, index)
    if ref.max_bytes is not None and example.num_bytes > ref.max_bytes:
        raise UnusableError(f"longer than max_bytes ({ref.max_bytes})")
    return example


def _broken(rows: Rows) -> list[BrokenRow]:
    return [
        BrokenRow(index, row.reason, excerpt(row.content))
        for index, row in enumerate(rows)
        if isinstance(row, UnusableError)
    ]


def _folded(record: Record) -> Record:
    """The record with its columns also under their names in lower case and without space around them."""
    return {**{column.strip().lower(): value for column, value in record.items()}, **record}


def _check_named_columns(ref: DatasetRef, records: Sequence[Record], where: str) -> None:
    for role, column in named_columns(ref).items():
        if not any(column in record for record in records):
            there = dict.fromkeys(column for record in records[:DECIDING_ROWS] for column in record)
            raise DataError(f"{where} has no column {column!r} for `{role}`: it has {_listed(list(there))}")


def _not_recognised(record: Record, source: Source, *, from_flags: bool) -> str:
    columns = list(record)
    known = "; ".join(shape.columns for shape in SHAPES)
    named = "`--prompt NAME --response NAME`" if from_flags else "`prompt: NAME` and `response: NAME`"
    if source.suffix not in DELIMITED or source.columns is not None:
        return (
            f"{source.where} has the columns {_listed(columns)}, which is no known shape ({known}): say which asks and "
            f"which answers with {named}"
        )
    names = ["question", "answer", *(f"column_{place}" for place in range(3, len(columns) + 1))][: len(columns)]
    headerless = f"`--columns {','.join(names)}`" if from_flags else f"`columns: [{', '.join(names)}]`"
    return (
        f"{source.where} has a first line that names no known columns ({_listed(columns, at_most=3)}): if it is no "
        f"header, name the columns with {headerless}, else say which asks and which answers with {named}"
    )


def _listed(columns: Sequence[str], *, at_most: int = COLUMNS_SHOWN) -> str:
    cut = [column if len(column) <= LONGEST_COLUMN else f"{column[:LONGEST_COLUMN]}…" for column in columns[:at_most]]
    shown = ", ".join(repr(excerpt(column)) for column in cut)
    return shown if len(columns) <= at_most else f"{shown} and {len(columns) - at_most} more"


def _nothing_usable(where: str, broken: Sequence[BrokenRow]) -> str:
    reasons = Counter(row.reason for row in broken).most_common(REASONS_SHOWN)
    told = ", ".join(f"{reason} ({count})" for reason, count in reasons)
    return (
        f"{where}: none of its {len(broken)} rows can be used: {told}; row {broken[0].index} is {broken[0].excerpt!r}"
    )

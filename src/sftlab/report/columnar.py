"""Tables as the page holds them: column by column, names once, numbers with as many digits as mean something."""

from collections.abc import Iterable, Sequence

from sftlab.report.blocks import Cell, DataTable

DIGITS = 7


def shortened(value: float | None, digits: int = DIGITS) -> float | None:
    """A number with so many significant digits; large pages are mostly numbers."""
    return None if value is None else float(f"{value:.{digits}g}")


def coded(values: Iterable[object]) -> dict[str, list[object]]:
    """Each distinct value once (`levels`), and for every row the place of its own (`codes`), -1 where it is unknown."""
    places: dict[object, int] = {}
    codes: list[object] = [-1 if value is None else places.setdefault(value, len(places)) for value in values]
    return {"levels": list(places), "codes": codes}


def table_data(block: DataTable) -> dict[str, object]:
    """What the page's script needs of a table."""
    columns = [
        {
            "name": column.name,
            "title": column.title,
            "kind": column.kind,
            "facet": column.facet,
            "follows": column.follows or column.name,
            "shown": column.shown,
            **_values(column.kind, [row[place] for row in block.rows]),
        }
        for place, column in enumerate(block.columns)
    ]
    return {"columns": columns, "count": len(block.rows), "file": block.file_name, "pageRows": block.page_rows}


def _values(kind: str, cells: Sequence[Cell]) -> dict[str, object]:
    if kind == "text":
        return {**coded(cells)}
    if kind == "interval":
        return {"low": [_end(cell, 0) for cell in cells], "high": [_end(cell, 1) for cell in cells]}
    return {"values": [shortened(cell) if isinstance(cell, float) else cell for cell in cells]}


def _end(cell: Cell, place: int) -> float | None:
    return shortened(cell[place]) if isinstance(cell, list) else None

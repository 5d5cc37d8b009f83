"""`sftlab table`: one tidy table."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sftlab.cli.options import AsJson, StoreFolder, StudyFile

if TYPE_CHECKING:
    import polars as pl

Format = Literal["csv", "json", "parquet"]
OF_TEXTS = ("contamination", "contaminated_items")


def table(
    study: StudyFile,
    name: Annotated[
        str,
        typer.Argument(
            help="runs, checkpoints, scores, items, questions, losses, validation, data, layers, dimensions, logliks, "
            f"spectra, {', '.join(OF_TEXTS)}"
        ),
    ],
    store: StoreFolder = None,
    format: Annotated[Format | None, typer.Option("--format", help="csv if not given, or by --out's ending")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="a file; standard output if not given")] = None,
    as_json: AsJson = False,
) -> None:
    """Print a table of a study; a missing cell is a row with a status and a reason."""
    frame = (table_of_texts if name in OF_TEXTS else _of_results)(study, store, name)
    write_frame(frame, "json" if as_json else format, out)
    if name == "scores":
        _tell_exclusions(study, frame)


def _tell_exclusions(study: Path, scores: "pl.DataFrame") -> None:
    """Say on standard error what of the table no analysis rests on."""
    from sftlab.analyse.audit.auditing import exclusions, without_excluded
    from sftlab.analyse.wording import counted

    found = exclusions(scores)
    if not found:
        return
    kept = without_excluded(scores, found)
    values, gains = (scores[name].count() - kept[name].count() for name in ("value", "gain"))
    why = "; ".join(one.text for one in found)
    sys.stderr.write(
        f"note: analyses leave out {counted(values, 'value')} and {counted(gains, 'gain')} of this table: {why} "
        f"(`sftlab audit {study}`)\n"
    )


def _of_results(study: Path, store: Path | None, name: str) -> "pl.DataFrame":
    from sftlab.analyse.tables import TABLES
    from sftlab.errors import StudyError
    from sftlab.plan.opening import open_results
    from sftlab.study.spelling import nearest

    if name not in TABLES:
        raise StudyError(f"there is no table {name!r}{nearest(name, (*TABLES, *OF_TEXTS))}")
    return open_results(study, store).table(name)


def table_of_texts(study: Path, store: Path | None, name: str) -> "pl.DataFrame":
    """Tables that are made of the data and benchmarks themselves, before anything is trained too."""
    from sftlab.plan.contamination import contamination_tables
    from sftlab.plan.opening import open_study

    found = contamination_tables(open_study(study, store))
    return found.contamination if name == "contamination" else found.contaminated_items


def write_frame(frame: "pl.DataFrame", format: Format | None, out: Path | None) -> None:
    """Write a table as csv, json or parquet to a file or to standard output."""
    from sftlab.errors import StoreError

    chosen = format or _by_ending(out)
    if chosen == "parquet" and out is None and sys.stdout.isatty():
        raise StoreError("parquet is not for a terminal: give a file with `--out FILE`")
    content = io.BytesIO()
    writers: dict[str, Callable[[io.BytesIO], None]] = {
        "csv": frame.write_csv,
        "json": frame.write_json,
        "parquet": frame.write_parquet,
    }
    writers[chosen](content)
    try:
        if out is None:
            sys.stdout.buffer.write(content.getvalue())
        else:
            out.write_bytes(content.getvalue())
    except OSError as error:
        raise StoreError(f"{out} cannot be written: {error.strerror or error}") from error


def _by_ending(out: Path | None) -> Format:
    ending = out.suffix if out is not None else ""
    return {".json": "json", ".parquet": "parquet"}.get(ending, "csv")  # type: ignore[return-value]

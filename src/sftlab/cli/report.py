"""`sftlab report`: one page to look at."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sftlab.cli.options import AsJson, StoreFolder, StudyFile

if TYPE_CHECKING:
    from sftlab.cli.opening import Opened


def report(
    study: StudyFile,
    store: StoreFolder = None,
    out: Annotated[Path | None, typer.Option("--out", help="the page; STUDY's name with .html if not given")] = None,
    as_json: AsJson = False,
) -> None:
    """Write one self-contained html page about a study, also of a half-done one."""
    from sftlab.cli.opening import open_study
    from sftlab.cli.printing import print_json, print_line

    page = write_page(open_study(study, store), out or study.resolve().with_suffix(".html"))
    if as_json:
        print_json({"report": str(page)})
    else:
        print_line(f"report: {page}")


def write_page(opened: "Opened", out: Path) -> Path:
    """Analyse a study and write its page."""
    from datetime import datetime
    from importlib.metadata import version

    from sftlab.analyse.answers import analysis as analysis_of
    from sftlab.analyse.tables import build_tables
    from sftlab.plan.devices import devices
    from sftlab.report.context import ReportContext
    from sftlab.report.page import write_report

    cells, store = opened.resolved.cells, opened.store
    found = devices()
    context = ReportContext(
        study=opened.study.study,
        created=datetime.now().astimezone(),
        machine=f"{len(found)} x {found[0].kind} ({found[0].name})",
        versions={name: version(name) for name in ("sftlab", "torch", "transformers", "polars")},
    )
    tables = build_tables(cells, store)
    return write_report(analysis_of(cells, store, tables), tables, context, out)

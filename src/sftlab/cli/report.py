"""`sftlab report`: one page to look at."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sftlab.cli.options import AsJson, StoreFolder, StudyFile

if TYPE_CHECKING:
    from sftlab.analyse.results import Results
    from sftlab.plan.opening import Opened
    from sftlab.report.context import ReportContext
    from sftlab.report.figures.files import Format


class FigureFormat(StrEnum):
    """What figures can be written as, in the words of the command line."""

    SVG = "svg"
    PDF = "pdf"
    PNG = "png"


def report(
    study: StudyFile,
    store: StoreFolder = None,
    out: Annotated[Path | None, typer.Option("--out", help="the page; STUDY's name with .html if not given")] = None,
    figures: Annotated[
        Path | None,
        typer.Option("--figures", help="a folder for every figure as svg, pdf and png with its data as csv"),
    ] = None,
    figure_format: Annotated[
        list[FigureFormat] | None,
        typer.Option(help="of the figures, again for another; all if not given"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write one self-contained html page about a study, also of a half-done one."""
    from sftlab.analyse.wording import counted, listed
    from sftlab.cli.printing import print_json, print_line
    from sftlab.cli.texts import SECONDS, with_texts
    from sftlab.errors import StoreError
    from sftlab.plan.opening import open_study
    from sftlab.report.figures.files import FORMATS
    from sftlab.store.imported import is_imported

    if figure_format and figures is None:
        raise StoreError("`--figure-format` says how figures are written: name their folder with `--figures DIR`")
    formats = tuple(one for one in FORMATS if one in (figure_format or FORMATS))
    if is_imported(study):
        results, context = _imported(study)
    else:
        opened = open_study(study, store)
        results, context = with_texts(opened, seconds=SECONDS)[0], study_context(opened)
    page = write_page(results, context, out or study.resolve().with_suffix(".html"))
    written = [] if figures is None else _write_figures(results, context, figures, formats)
    if as_json:
        print_json({"report": str(page), "figures": [str(path.with_suffix("")) for path in written]})
        return
    print_line(f"report: {page}")
    if figures is not None:
        print_line(f"{counted(len(written), 'figure')} as {listed(formats)}, each with its data as csv: {figures}")


def write_page(results: "Results", context: "ReportContext", out: Path) -> Path:
    """Analyse results and write their page."""
    from sftlab.report.page import write_report

    return write_report(results.analysis, results.tables(), context, out)


def _write_figures(
    results: "Results", context: "ReportContext", folder: Path, formats: "tuple[Format, ...]"
) -> list[Path]:
    """Write the figures of the page as files, and say how far it is: on a terminal at once, else each tenth."""
    from rich.console import Console

    from sftlab.report.page import write_report_figures

    console = Console(file=sys.stderr)
    with console.status("drawing the figures") as status:

        def tell(done: int, every: int) -> None:
            said = f"drawing the figures: {done} of {every}"
            if console.is_terminal:
                status.update(said)
            elif 10 * done // every > 10 * (done - 1) // every:
                sys.stderr.write(f"{said}\n")
                sys.stderr.flush()

        return write_report_figures(
            results.analysis, results.tables(), context, folder, formats=formats, on_written=tell
        )


def _imported(study: Path) -> "tuple[Results, ReportContext]":
    from datetime import datetime

    from sftlab.analyse.results import imported_results
    from sftlab.report.context import ReportContext
    from sftlab.store.imported import read_imported_study

    imported = read_imported_study(study)
    design = (
        f"Results made elsewhere, imported from {imported.origin.get('file', 'tables')}: {'; '.join(imported.notes)}."
    )
    context = ReportContext(study=imported.name, created=datetime.now().astimezone(), design=design)
    return imported_results(imported), context


def study_context(opened: "Opened") -> "ReportContext":
    """What the page of a study says about where its numbers come from."""
    from datetime import datetime
    from importlib.metadata import version

    from sftlab.plan.devices import devices
    from sftlab.report.context import ReportContext

    found = devices()
    return ReportContext(
        study=opened.study.study,
        created=datetime.now().astimezone(),
        design=_design(opened),
        counts=_counts(opened),
        machine=f"{len(found)} x {found[0].kind} ({found[0].name})",
        versions={name: version(name) for name in ("sftlab", "torch", "transformers", "polars")},
    )


def _counts(opened: "Opened") -> dict[str, int]:
    """Cells by status: what the store holds, what failed, and what is still to be done."""
    from sftlab.plan.tasks import counts

    cells, store = opened.resolved.cells, opened.store
    found = counts(opened.resolved, store).values()
    total, held = sum(count.total for count in found), sum(count.held for count in found)
    identities = {run.identity for run in cells.runs}
    identities |= {score.identity for score in cells.scores} | {measure.identity for measure in cells.measures}
    identities |= {probe.identity for probe in cells.probes}
    failed = sum(store.failure(identity) is not None and not store.has(identity) for identity in identities)
    return {"done": held, "failed": failed, "pending": total - held - failed}


def _design(opened: "Opened") -> str:
    """What is compared with what, in a sentence."""
    study, cells = opened.study, opened.resolved.cells
    trained = len(study.datasets) + len(study.mixtures)
    bases, benchmarks = len(study.bases), len(study.evaluation.benchmarks)
    return (
        f"{bases} base{'s' * (bases != 1)} trained on {trained} dataset{'s' * (trained != 1)} in {len(cells.runs)} "
        f"run{'s' * (len(cells.runs) != 1)}, each scored on {benchmarks} benchmark{'s' * (benchmarks != 1)} "
        "and set against its base."
    )

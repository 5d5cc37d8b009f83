"""`sftlab report`: one page to look at."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sftlab.cli.options import AsJson, StoreFolder, StudyFile

if TYPE_CHECKING:
    from sftlab.analyse.results import Results
    from sftlab.plan.opening import Opened
    from sftlab.report.context import ReportContext


def report(
    study: StudyFile,
    store: StoreFolder = None,
    out: Annotated[Path | None, typer.Option("--out", help="the page; STUDY's name with .html if not given")] = None,
    figures: Annotated[
        Path | None,
        typer.Option("--figures", help="a folder for every figure as svg, pdf and png with its data as csv"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write one self-contained html page about a study, also of a half-done one."""
    from sftlab.cli.printing import print_json, print_line
    from sftlab.cli.texts import SECONDS, with_texts
    from sftlab.plan.opening import open_study
    from sftlab.store.imported import is_imported

    if is_imported(study):
        results, context = _imported(study)
    else:
        opened = open_study(study, store)
        results, context = with_texts(opened, seconds=SECONDS)[0], study_context(opened)
    page = write_page(results, context, out or study.resolve().with_suffix(".html"))
    written = [] if figures is None else _write_figures(results, context, figures)
    if as_json:
        print_json({"report": str(page), "figures": [str(path.with_suffix("")) for path in written]})
        return
    print_line(f"report: {page}")
    if figures is not None:
        print_line(f"{len(written)} figures as svg, pdf and png, each with its data as csv: {figures}")


def write_page(results: "Results", context: "ReportContext", out: Path) -> Path:
    """Analyse results and write their page."""
    from sftlab.report.page import write_report

    return write_report(results.analysis, results.tables(), context, out)


def _write_figures(results: "Results", context: "ReportContext", folder: Path) -> list[Path]:
    """Write the figures of the page as files; on a terminal it shows how far it is."""
    from rich.console import Console

    from sftlab.report.page import write_report_figures

    with Console(file=sys.stderr).status("drawing the figures") as status:
        return write_report_figures(
            results.analysis,
            results.tables(),
            context,
            folder,
            on_written=lambda done, every: status.update(f"drawing the figures: {done} of {every}"),
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
